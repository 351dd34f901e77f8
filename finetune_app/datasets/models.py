"""Step 2: example conversations, their checks, their frozen versions."""

import uuid

from django.db import models
from django.db.models import Count, Q
from django.db.models.functions import Length, Lower, Substr
from django.utils.translation import gettext_lazy as _

from finetune_app.accounts.models import Team, User
from finetune_app.datasets.text import last_said, prompt_hash
from finetune_app.goals.models import Goal
from finetune_app.jobs.models import Job


class Split(models.TextChoices):
    TRAIN = "train", _("learn")
    VALIDATION = "validation", _("practice")
    TEST = "test", _("test")


class Status(models.TextChoices):
    """Where an example stands on its way into a version. Only the approved are frozen."""

    PENDING = "pending", _("To do")  # no answer yet
    DRAFT = "draft", _("Draft")  # begun, not vouched for
    APPROVED = "approved", _("Approved")
    SET_ASIDE = "set_aside", _("Set aside")
    DISPUTED = "disputed", _("Disagreement")  # two people answered it differently


class Dataset(models.Model):
    goal = models.OneToOneField(Goal, on_delete=models.CASCADE, related_name="dataset")
    seed = models.PositiveIntegerField(default=17)  # of the split; sticky
    last_number = models.PositiveIntegerField(default=0)
    checked_at = models.DateTimeField(null=True, blank=True)
    changed_at = models.DateTimeField(auto_now=True)
    guidelines = models.TextField(blank=True)  # how to label, in the team's words
    labels = models.JSONField(default=list)  # the closed set of answers; empty: answers are free
    offer_labels = models.BooleanField(default=True)  # until somebody says that answers are free
    twice_percent = models.PositiveSmallIntegerField(default=0)  # of rows two people label
    check_job = models.ForeignKey(
        Job, null=True, on_delete=models.SET_NULL, related_name="+"
    )  # the last thorough check
    facts = models.JSONField(default=dict)  # what the last check counted (checks/facts.py)
    tally = models.JSONField(default=dict)  # what a large set was counted to be (tally.py)

    def __str__(self) -> str:
        return f"dataset of {self.goal}"


class ExampleQuerySet(models.QuerySet["Example"]):
    def arrived(self) -> "ExampleQuerySet":
        """Without the rows of an import that is still under way: they show all at once."""
        under_way = Import.objects.exclude(step=Import.Step.DONE).order_by().values("pk")
        return self.exclude(brought_by__in=under_way)

    def kept(self) -> "ExampleQuerySet":
        """Arrived, and not in the trash."""
        return self.arrived().filter(deleted_at=None)

    def usable(self) -> "ExampleQuerySet":
        """What a version freezes: approved and not in the trash."""
        return self.kept().filter(status=Status.APPROVED)

    def counts(self) -> dict[str, int]:
        """{"all", "pending", "draft", "approved", "set_aside", "disputed"} and one for each split.

        The split counts are of usable examples only.
        """
        usable = Q(status=Status.APPROVED)
        return self.aggregate(
            all=Count("pk"),
            **{status.value: Count("pk", filter=Q(status=status)) for status in Status},
            **{split.value: Count("pk", filter=usable & Q(split=split)) for split in Split},
        )


KEPT = Q(deleted_at__isnull=True)


class Example(models.Model):
    """One conversation that ends in the answer to learn.

    `prompt` (the last user message) and `answer` (the last assistant message) are copies
    out of `messages` for search and for the table. Every filter and every order of the table
    has an index that ends in the number: pages of a large set are read off it.
    """

    dataset = models.ForeignKey(
        Dataset, on_delete=models.CASCADE, related_name="examples", db_index=False
    )
    number = models.PositiveIntegerField()
    messages = models.JSONField(default=list)
    prompt = models.TextField(blank=True)
    answer = models.TextField(blank=True)
    prompt_hash = models.CharField(max_length=32, db_index=True)  # of the normalised conversation
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.APPROVED)
    split = models.CharField(max_length=10, choices=Split.choices, default=Split.TRAIN)
    source = models.CharField(max_length=200, blank=True)
    key = models.CharField(max_length=200, blank=True)  # the file's own name for the row: to merge
    group = models.CharField(max_length=64, blank=True)  # rows of one group share a split
    assigned_to = models.ForeignKey(
        User, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    brought_by = models.ForeignKey(
        "Import", null=True, on_delete=models.SET_NULL, related_name="examples", db_index=False
    )
    changed_by = models.ForeignKey(
        User, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)
    deleted_at = models.DateTimeField(null=True, blank=True)
    length = models.GeneratedField(  # characters of the prompt and the answer
        expression=Length("prompt") + Length("answer"),
        output_field=models.PositiveIntegerField(), db_persist=True,
    )
    prompt_start = models.GeneratedField(  # to sort by; a whole prompt is too long for an index
        expression=Lower(Substr("prompt", 1, 60)),
        output_field=models.CharField(max_length=60), db_persist=True,
    )

    objects = ExampleQuerySet.as_manager()

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["dataset", "number"], name="one_number_a_dataset")
        ]
        indexes = [
            models.Index(fields=["dataset", "key"]),
            models.Index(
                fields=["dataset", "group"], condition=~Q(group=""), name="rows_of_one_group"
            ),
            models.Index(
                fields=["dataset", "status", "number"], condition=KEPT, name="kept_by_status"),
            models.Index(
                fields=["dataset", "split", "number"], condition=KEPT, name="kept_by_split"),
            models.Index(
                fields=["dataset", "changed_at", "number"], condition=KEPT, name="kept_by_change"),
            models.Index(
                fields=["dataset", "length", "number"], condition=KEPT, name="kept_by_length"),
            models.Index(
                fields=["dataset", "prompt_start", "number"], condition=KEPT,
                name="kept_by_prompt"),
            models.Index(fields=["dataset", "number"], condition=Q(deleted_at__isnull=False),
                name="in_the_trash"),
            models.Index(fields=["brought_by", "number"], name="by_import"),
            models.Index(fields=["changed_by", "dataset", "number"], name="by_changer"),
            models.Index(
                fields=["assigned_to", "dataset", "number"], name="by_assigned",
                condition=Q(assigned_to__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"No. {self.number}"

    def set_messages(self, messages: list[dict[str, str]]) -> None:
        """Take the conversation and refresh what is derived from it."""
        self.messages = messages
        self.prompt = last_said(messages, "user")
        self.answer = last_said(messages, "assistant")
        self.prompt_hash = prompt_hash(messages)


class Draft(models.Model):
    """What a person has typed into an example and not saved yet: kept as they type."""

    example = models.ForeignKey(Example, on_delete=models.CASCADE, related_name="drafts")
    by = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    messages = models.JSONField(default=list)
    at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["example", "by"], name="one_example_draft_a_person")
        ]

    def __str__(self) -> str:
        return f"draft of {self.example_id}"


class Label(models.Model):
    """One person's answer to an example that two people answer without seeing each other."""

    example = models.ForeignKey(Example, on_delete=models.CASCADE, related_name="labels")
    by = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    answer = models.TextField()
    at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["example", "by"], name="one_example_label_a_person")
        ]

    def __str__(self) -> str:
        return f"label of {self.example_id}"


class Suggestion(models.Model):
    """An answer that a candidate proposes. It counts for nothing until a person takes it."""

    class State(models.TextChoices):
        OPEN = "open", _("suggested")
        TAKEN = "taken", _("taken")
        DISMISSED = "dismissed", _("dismissed")

    example = models.ForeignKey(Example, on_delete=models.CASCADE, related_name="suggestions")
    answer = models.TextField()
    source = models.CharField(max_length=200)  # who proposes, as people know it
    candidate_id = models.PositiveBigIntegerField(null=True)  # its row, in a room further down
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"suggestion for {self.example_id}"


class Edit(models.Model):
    """A change that can be undone: its `changes` say what the examples were before and after,
    one by one, and its `sweeps` do for what happened alike to many."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="edits")
    what = models.CharField(max_length=120)
    brought = models.ForeignKey(
        "Import", null=True, on_delete=models.SET_NULL, related_name="edits"
    )  # the whole of an import: its examples are its changes
    takes_out = models.BooleanField(default=False)  # of an import: whether its rows went or came
    by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(auto_now_add=True)
    undone_at = models.DateTimeField(null=True, blank=True)
    count = models.PositiveIntegerField(default=0)  # of examples swept so far
    left = models.PositiveIntegerField(default=0)  # of examples it wanted to change and could not
    todo = models.JSONField(default=dict)  # of a sweep that is not through (services/sweeping.py)
    undoes = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.what


class Sweep(models.Model):
    """What one edit did alike to many examples, in little room: their numbers as runs."""

    edit = models.ForeignKey(Edit, on_delete=models.CASCADE, related_name="sweeps")
    first = models.PositiveIntegerField()  # number
    last = models.PositiveIntegerField()
    numbers = models.TextField()  # "1-400 402 500-7000"
    before = models.JSONField(default=dict)  # as in Change, without messages
    after = models.JSONField(default=dict)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.edit_id}: {self.numbers[:40]}"


class Change(models.Model):
    """What one edit did to one example. Only the fields that changed: messages, status, split,
    assigned_to (a user's key or None), deleted (a switch: in the trash or not), labels (each
    person's answer, by their key)."""

    edit = models.ForeignKey(Edit, on_delete=models.CASCADE, related_name="changes")
    example = models.ForeignKey(Example, on_delete=models.CASCADE, related_name="changes")
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.edit_id}: {self.example_id}"


class Upload(models.Model):
    """A large file that arrives in pieces, and may go on after a break."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="uploads")
    by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    file_name = models.CharField(max_length=200)
    size = models.BigIntegerField()  # as announced
    received = models.BigIntegerField(default=0)
    at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return self.file_name


class Layout(models.Model):
    """Which column was what, the last time a file of this shape came."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="layouts")
    fingerprint = models.CharField(max_length=64)  # of the format and the column names
    mapping = models.JSONField(default=dict)
    used_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["team", "fingerprint"], name="one_layout_a_shape")
        ]

    def __str__(self) -> str:
        return self.fingerprint


class Import(models.Model):
    """A file on its way in: first looked at, then (once its columns are confirmed) read."""

    class Mode(models.TextChoices):
        APPEND = "append", _("add to what is here")
        REPLACE = "replace", _("replace what is here")
        MERGE = "merge", _("update rows with the same key")

    class Step(models.TextChoices):
        LOOKING = "looking", _("looking at the file")
        CONFIRM = "confirm", _("waiting for you")
        READING = "reading", _("reading")
        PLANNED = "planned", _("waiting for you: this is what changes")
        ADDING = "adding", _("adding")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")
        CANCELLED = "cancelled", _("cancelled")  # what it had brought so far is being removed

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="imports")
    job = models.OneToOneField(Job, null=True, on_delete=models.SET_NULL, related_name="import_of")
    step = models.CharField(max_length=10, choices=Step.choices, default=Step.LOOKING)
    file_name = models.CharField(max_length=200)
    stored_name = models.CharField(max_length=200)  # below DATA_DIR
    size = models.BigIntegerField(default=0)
    shape = models.JSONField(default=dict)  # format, encoding, delimiter, columns, samples
    mapping = models.JSONField(default=dict)  # which column is what
    mode = models.CharField(max_length=8, choices=Mode.choices, default=Mode.APPEND)
    whole_or_nothing = models.BooleanField(default=False)  # one bad row keeps all out
    plan = models.JSONField(default=dict)  # before it is done: {"new", "changed", "same", "gone"}
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


class Look(models.Model):
    """What the checks saw in one example by itself (checks.base.Seen), and in which text of it:
    only what changed since is looked at again."""

    example = models.OneToOneField(
        Example, primary_key=True, on_delete=models.CASCADE, related_name="look"
    )
    fingerprint = models.CharField(max_length=32)  # of the messages and of our rules
    marks = models.JSONField(default=list)  # [[check, message, start, end, what], ...]
    language = models.CharField(max_length=8, blank=True)
    toxic = models.FloatField(null=True)  # 0 to 1; null: only a thorough check tells
    tokens = models.PositiveIntegerField(null=True)  # of the whole example, the same
    answer_tokens = models.PositiveIntegerField(null=True)
    model = models.CharField(max_length=120, blank=True)  # whose tokens were counted

    def __str__(self) -> str:
        return f"look at {self.example_id}"


class Finding(models.Model):
    """One thing a check found, on which examples, with its fix."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="findings")
    check_name = models.CharField(max_length=40)
    severity = models.CharField(max_length=8, choices=Severity.choices)
    count = models.PositiveIntegerField(default=0)
    examples = models.JSONField(default=list)  # pks
    groups = models.JSONField(default=list)  # lists of pks that belong together
    spans = models.JSONField(default=dict)  # pk: [[message, start, end, what]] to highlight
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
    name = models.CharField(max_length=80, blank=True)
    note = models.TextField(blank=True)
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
