"""An example, with its labels by several people and its suggested answers."""

from django.db import models
from django.db.models import Count, Exists, OuterRef, Q, Subquery, Value
from django.db.models.functions import Concat, Length, Lower, StrIndex, Substr, Upper
from django.db.models.lookups import GreaterThan
from django.utils.translation import gettext_lazy as _

from finetune_app.accounts.models import User
from finetune_app.core.chat_messages import Message
from finetune_app.datasets.models.base import Dataset, Split, Status
from finetune_app.datasets.models.imports import Import
from finetune_app.datasets.text import last_answer, last_content, prompt_hash


class ExampleQuerySet(models.QuerySet["Example"]):
    def arrived(self) -> "ExampleQuerySet":
        """Without the rows of an unfinished import, which appear all at once."""
        under_way = Import.objects.exclude(step=Import.Step.DONE).order_by().values("pk")
        return self.exclude(source_import__in=under_way)

    def kept(self) -> "ExampleQuerySet":
        """Arrived and not in the trash."""
        return self.arrived().filter(deleted_at=None)

    def of_goal(self, goal_id: int) -> "ExampleQuerySet":
        """By a subquery: with a join PostgreSQL would not read rows in the order of an index, which
        begins with the dataset."""
        dataset = Dataset.objects.filter(goal=goal_id).order_by().values("pk")[:1]
        return self.filter(dataset=Subquery(dataset))

    def outside_test(self) -> "ExampleQuerySet":
        return self.exclude(split=Split.TEST)

    def usable(self) -> "ExampleQuerySet":
        """The examples that a version contains: approved and not in the trash."""
        return self.kept().filter(status=Status.APPROVED)

    def apart_from_test(self) -> "ExampleQuerySet":
        """Those outside the test split that share neither a prompt nor a group with a test row,
        rows in the trash included."""
        tests = Example.objects.filter(dataset=OuterRef("dataset"), split=Split.TEST).order_by()
        return self.outside_test().filter(
            ~Exists(tests.filter(prompt_hash=OuterRef("prompt_hash"))),
            Q(group="") | ~Exists(tests.exclude(group="").filter(group=OuterRef("group"))),
        )

    def containing(self, text: str) -> "ExampleQuerySet":
        """Those whose prompt or answer contains `text`, ignoring case."""
        # Not `contains`: PostgreSQL expects few rows of a LIKE and would sort all that it finds.
        # Here it expects many, and reads them in order until the page is full.
        return self.filter(GreaterThan(StrIndex("search_text", Upper(Value(text))), 0))

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
BY_A_PERSON = 0  # in place of the candidate of a suggestion: somebody who used the model wrote it
PAIR = Q(rejected__gt="")  # a training pair: has a worse answer


class Example(models.Model):
    """One conversation that ends in the reference answer.

    `prompt` (the last user message) and `answer` (the last assistant message) are copies from
    `messages` for the table and its search. Every order of the table has an index that ends in the
    number, from which pages of a large dataset are read.

    An example with a `rejected` answer is a training pair: its own answer is the better one.
    """

    dataset = models.ForeignKey(
        Dataset, on_delete=models.CASCADE, related_name="examples", db_index=False
    )
    number = models.PositiveIntegerField()
    messages = models.JSONField(default=list)
    tools = models.JSONField(default=list)  # functions that its answers may call
    parallel_tool_calls = models.BooleanField(null=True)  # as the file says; None: it does not
    prompt = models.TextField(blank=True)
    answer = models.TextField(blank=True)
    rejected = models.TextField(blank=True, default="")  # a worse answer to the same conversation
    prompt_hash = models.CharField(max_length=32)  # of the normalised conversation
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.APPROVED)
    split = models.CharField(max_length=10, choices=Split.choices, default=Split.TRAIN)
    source = models.CharField(max_length=200, blank=True)
    key = models.CharField(max_length=200, blank=True)  # the file's key of the row, for merging
    group = models.CharField(max_length=64, blank=True)  # rows of one group share a split
    assigned_to = models.ForeignKey(
        User, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    source_import = models.ForeignKey(
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
        output_field=models.PositiveIntegerField(),
        db_persist=True,
    )
    prompt_start = models.GeneratedField(  # to sort by; a whole prompt is too long for an index
        expression=Lower(Substr("prompt", 1, 60)),
        output_field=models.CharField(max_length=60),
        db_persist=True,
    )
    search_text = models.GeneratedField(  # PostgreSQL needs longer for upper() than for the search
        expression=Upper(Concat("prompt", Value("\n", models.TextField()), "answer")),
        output_field=models.TextField(),
        db_persist=True,
    )

    objects = ExampleQuerySet.as_manager()

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["dataset", "number"], name="one_number_a_dataset")
        ]
        indexes = [
            models.Index(fields=["dataset", "key"]),
            models.Index(fields=["dataset", "prompt_hash"], name="rows_of_one_prompt"),
            models.Index(fields=["dataset", "split", "prompt_hash"], name="by_split_and_prompt"),
            models.Index(
                fields=["dataset", "group"], condition=~Q(group=""), name="rows_of_one_group"
            ),
            models.Index(
                fields=["dataset", "status", "number"], condition=KEPT, name="kept_by_status"
            ),
            models.Index(
                fields=["dataset", "split", "number"], condition=KEPT, name="kept_by_split"
            ),
            models.Index(
                fields=["dataset", "changed_at", "number"], condition=KEPT, name="kept_by_change"
            ),
            models.Index(
                fields=["dataset", "length", "number"], condition=KEPT, name="kept_by_length"
            ),
            models.Index(
                fields=["dataset", "prompt_start", "number"], condition=KEPT, name="kept_by_prompt"
            ),
            models.Index(
                fields=["dataset", "number"],
                condition=Q(deleted_at__isnull=False),
                name="in_the_trash",
            ),
            models.Index(fields=["dataset", "number"], condition=KEPT & PAIR, name="kept_pairs"),
            models.Index(  # covers the query of status_counts.py
                fields=["dataset", "status", "split", "deleted_at", "source_import"],
                name="counted_by_status",
            ),
            models.Index(fields=["source_import", "number"], name="by_import"),
            models.Index(fields=["changed_by", "dataset", "number"], name="by_changer"),
            models.Index(
                fields=["assigned_to", "dataset", "number"],
                name="by_assigned",
                condition=Q(assigned_to__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"No. {self.number}"

    def set_messages(self, messages: list[Message]) -> None:
        """Set the conversation and the fields derived from it."""
        self.messages = messages
        self.prompt = last_content(messages, "user")
        self.answer = last_answer(messages)
        self.prompt_hash = prompt_hash(messages)


class Label(models.Model):
    """One person's answer to an example that two people label independently."""

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


class SuggestionQuerySet(models.QuerySet["Suggestion"]):
    def visible(self) -> "SuggestionQuerySet":
        """Without those of models for test rows: no model writes the answers that it is tested on,
        not even for a row that was moved to the test later."""
        return self.exclude(~Q(candidate_id=BY_A_PERSON), example__split=Split.TEST)


class Suggestion(models.Model):
    """An answer that a candidate proposes. It has no effect until a person accepts it."""

    class State(models.TextChoices):
        OPEN = "open", _("suggested")
        TAKEN = "taken", _("taken")
        DISMISSED = "dismissed", _("dismissed")

    example = models.ForeignKey(Example, on_delete=models.CASCADE, related_name="suggestions")
    answer = models.TextField()
    source = models.CharField(max_length=200)  # the candidate's name on pages
    candidate_id = models.PositiveBigIntegerField(null=True)  # key in an app that depends on this
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    at = models.DateTimeField(auto_now_add=True)

    objects = SuggestionQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"suggestion for {self.example_id}"
