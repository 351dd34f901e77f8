"""Step 2: example conversations, their checks, their frozen versions."""

from django.db import models
from django.db.models import Count, Q
from django.utils.translation import gettext_lazy as _

from finetune_app.accounts.models import User
from finetune_app.datasets.text import last_said, prompt_hash
from finetune_app.goals.models import Goal
from finetune_app.jobs.models import Job


class Split(models.TextChoices):
    TRAIN = "train", _("learn")
    VALIDATION = "validation", _("practice")
    TEST = "test", _("test")


class Status(models.TextChoices):
    DRAFT = "draft", _("Draft")
    APPROVED = "approved", _("Approved")
    SET_ASIDE = "set_aside", _("Set aside")


class Dataset(models.Model):
    goal = models.OneToOneField(Goal, on_delete=models.CASCADE, related_name="dataset")
    seed = models.PositiveIntegerField(default=17)  # of the split; sticky
    last_number = models.PositiveIntegerField(default=0)
    checked_at = models.DateTimeField(null=True, blank=True)
    changed_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"dataset of {self.goal}"


class ExampleQuerySet(models.QuerySet["Example"]):
    def kept(self) -> "ExampleQuerySet":
        """Not in the trash."""
        return self.filter(deleted_at=None)

    def usable(self) -> "ExampleQuerySet":
        """What a version freezes: approved and not in the trash."""
        return self.kept().filter(status=Status.APPROVED)

    def search(self, text: str) -> "ExampleQuerySet":
        return self.filter(Q(prompt__icontains=text) | Q(answer__icontains=text))

    def counts(self) -> dict[str, int]:
        """{"all", "draft", "approved", "set_aside", "train", "validation", "test"}.

        The split counts are of usable examples only.
        """
        usable = Q(status=Status.APPROVED)
        return self.aggregate(
            all=Count("pk"),
            **{status.value: Count("pk", filter=Q(status=status)) for status in Status},
            **{split.value: Count("pk", filter=usable & Q(split=split)) for split in Split},
        )


class Example(models.Model):
    """One conversation that ends in the answer to learn.

    `prompt` (the last user message) and `answer` (the last assistant message) are copies
    out of `messages` for search and for the table.
    """

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="examples")
    number = models.PositiveIntegerField()
    messages = models.JSONField(default=list)
    prompt = models.TextField(blank=True)
    answer = models.TextField(blank=True)
    prompt_hash = models.CharField(max_length=32, db_index=True)  # of the normalised conversation
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.APPROVED)
    split = models.CharField(max_length=10, choices=Split.choices, default=Split.TRAIN)
    source = models.CharField(max_length=200, blank=True)
    brought_by = models.ForeignKey(
        "Import", null=True, on_delete=models.SET_NULL, related_name="examples"
    )
    changed_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)
    deleted_at = models.DateTimeField(null=True, blank=True)

    objects = ExampleQuerySet.as_manager()

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["dataset", "number"], name="one_number_a_dataset")
        ]
        indexes = [models.Index(fields=["dataset", "status", "number"])]

    def __str__(self) -> str:
        return f"No. {self.number}"

    def set_messages(self, messages: list[dict[str, str]]) -> None:
        """Take the conversation and refresh what is derived from it."""
        self.messages = messages
        self.prompt = last_said(messages, "user")
        self.answer = last_said(messages, "assistant")
        self.prompt_hash = prompt_hash(messages)


class Edit(models.Model):
    """A change that can be undone: its `changes` say what the examples were before and after."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="edits")
    what = models.CharField(max_length=120)
    brought = models.ForeignKey(
        "Import", null=True, on_delete=models.SET_NULL, related_name="edits"
    )  # the whole of an import: its examples are its changes
    by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(auto_now_add=True)
    undone_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.what


class Change(models.Model):
    """What one edit did to one example. Only the fields that changed: messages, status, split,
    deleted (a switch: in the trash or not)."""

    edit = models.ForeignKey(Edit, on_delete=models.CASCADE, related_name="changes")
    example = models.ForeignKey(Example, on_delete=models.CASCADE, related_name="changes")
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.edit_id}: {self.example_id}"


class Import(models.Model):
    """A file on its way in: first looked at, then (once its columns are confirmed) read."""

    class Step(models.TextChoices):
        LOOKING = "looking", _("looking at the file")
        CONFIRM = "confirm", _("waiting for you")
        READING = "reading", _("reading")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="imports")
    job = models.OneToOneField(Job, null=True, on_delete=models.SET_NULL, related_name="import_of")
    step = models.CharField(max_length=10, choices=Step.choices, default=Step.LOOKING)
    file_name = models.CharField(max_length=200)
    stored_name = models.CharField(max_length=200)  # below DATA_DIR
    size = models.BigIntegerField(default=0)
    shape = models.JSONField(default=dict)  # format, encoding, delimiter, columns, samples
    mapping = models.JSONField(default=dict)  # which column is what
    rows_read = models.PositiveIntegerField(default=0)
    rows_kept = models.PositiveIntegerField(default=0)
    rejected = models.JSONField(default=list)  # first 200: {"line": 17, "reason": "..."}
    rejected_count = models.PositiveIntegerField(default=0)
    message = models.TextField(blank=True)
    by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.file_name

    @property
    def folder(self) -> str:
        """Below DATA_DIR: the upload and what was read from it."""
        return self.stored_name.rpartition("/")[0]


class Severity(models.TextChoices):
    ERROR = "error", _("must be mended")  # blocks freezing
    WARNING = "warning", _("worth a look")
    INFO = "info", _("good to know")


class Finding(models.Model):
    """One thing a check found, on which examples, with its fix."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="findings")
    check_name = models.CharField(max_length=40)
    severity = models.CharField(max_length=8, choices=Severity.choices)
    count = models.PositiveIntegerField(default=0)
    examples = models.JSONField(default=list)  # pks
    message = models.TextField()
    why = models.TextField(blank=True)
    fix = models.CharField(max_length=40, blank=True)  # name of a fix in datasets/fixes.py
    fix_label = models.CharField(max_length=60, blank=True)  # what its button says

    class Meta:
        ordering = ["severity", "pk"]

    def __str__(self) -> str:
        return self.message


class Version(models.Model):
    """A frozen, hashed snapshot. Training and evaluation read only these."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    stored_name = models.CharField(max_length=200)  # versions/<dataset>/<n>.jsonl
    sha256 = models.CharField(max_length=64)
    counts = models.JSONField(default=dict)  # {"train": 240, "validation": 40, "test": 60}
    # In letters as services.freezing.weight counts them, to estimate tokens from.
    longest = models.PositiveIntegerField(default=0)  # of the longest example
    longest_answer = models.PositiveIntegerField(default=0)
    characters = models.PositiveIntegerField(default=0)  # of all train examples
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["dataset", "number"], name="one_version_number")
        ]

    def __str__(self) -> str:
        return f"version {self.number}"
