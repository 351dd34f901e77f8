"""Prompts of a person without wanted answers, what candidates answer, and what people mark."""

from django.db import models

from finetune_app.accounts.models import User
from finetune_app.candidates.models import EFFORT, Candidate
from finetune_app.goals.models import Goal
from finetune_app.jobs.models import ACTIVE, Job, State


class PromptSheetQuerySet(models.QuerySet["PromptSheet"]):
    def active(self) -> "PromptSheetQuerySet":
        """Waiting or running."""
        return self.filter(job__state__in=ACTIVE)

    def with_details(self) -> "PromptSheetQuerySet":
        """With the related rows that pages and jobs read."""
        return self.select_related("job", "goal", "started_by")

    def with_prompt_count(self) -> "PromptSheetQuerySet":
        """With `prompt_count`."""
        return self.annotate(prompt_count=models.Count("prompts"))


class PromptSheet(models.Model):
    """Up to MAX_PROMPTS prompts that two to five candidates answer. Nothing of it is scored, and
    no verdict, model card or step of the guide reads it."""

    goal = models.ForeignKey(Goal, on_delete=models.CASCADE, related_name="prompt_sheets")
    name = models.CharField(max_length=100)  # of the file, or the beginning of the first prompt
    candidates = models.ManyToManyField(Candidate, related_name="+")
    max_new_tokens = models.PositiveIntegerField()
    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="prompt_sheet")
    # For a remote model, whoever started it agreed to what is sent there.
    started_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = PromptSheetQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.name

    @property
    def is_done(self) -> bool:
        return self.job.state == State.SUCCEEDED

    def ordered_candidates(self) -> list[Candidate]:
        """By effort, the base model first."""
        taking_part = self.candidates.select_related(
            "base_model", "endpoint", "training", "knowledge"
        )
        return sorted(taking_part, key=lambda one: (EFFORT[one.kind], one.pk))


class SheetPrompt(models.Model):
    """One prompt. `order` has the ids of all candidates, shuffled once when the sheet is made: the
    order in which their answers stand beside each other."""

    sheet = models.ForeignKey(PromptSheet, on_delete=models.CASCADE, related_name="prompts")
    index = models.PositiveIntegerField()
    text = models.TextField()
    order = models.JSONField(default=list)

    class Meta:
        ordering = ["index"]
        constraints = [
            models.UniqueConstraint(fields=["sheet", "index"], name="one_prompt_a_place")
        ]

    def __str__(self) -> str:
        return f"prompt {self.index}"


class SheetAnswer(models.Model):
    """What one candidate answered to one prompt."""

    prompt = models.ForeignKey(SheetPrompt, on_delete=models.CASCADE, related_name="answers")
    candidate = models.ForeignKey(Candidate, on_delete=models.CASCADE, related_name="+")
    text = models.TextField(blank=True)
    refused = models.BooleanField(default=False)  # it could not be asked, for example: too long
    why = models.CharField(max_length=200, blank=True)  # it was refused
    tokens = models.PositiveIntegerField(default=0)
    seconds = models.FloatField(default=0)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["prompt", "candidate"], name="one_sheet_answer_a_candidate"
            )
        ]

    def __str__(self) -> str:
        return f"answer {self.pk}"


class Reading(models.Model):
    """One person reads a sheet. Names are hidden from them until they ask for them."""

    sheet = models.ForeignKey(PromptSheet, on_delete=models.CASCADE, related_name="readings")
    by = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    names_shown_at = models.DateTimeField(null=True, blank=True)  # from then on marks are final

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["sheet", "by"], name="one_reading_a_person")]

    def __str__(self) -> str:
        return f"reading {self.pk}"


class Mark(models.Model):
    """Which answer a person prefers; `preferred` is None for none of them."""

    reading = models.ForeignKey(Reading, on_delete=models.CASCADE, related_name="marks")
    prompt = models.ForeignKey(SheetPrompt, on_delete=models.CASCADE, related_name="marks")
    preferred = models.ForeignKey(Candidate, null=True, on_delete=models.CASCADE, related_name="+")

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["reading", "prompt"], name="one_mark_a_prompt")
        ]

    def __str__(self) -> str:
        return f"mark {self.pk}"


class SheetNote(models.Model):
    """What a person noted about the answers to one prompt."""

    reading = models.ForeignKey(Reading, on_delete=models.CASCADE, related_name="notes")
    prompt = models.ForeignKey(SheetPrompt, on_delete=models.CASCADE, related_name="notes")
    text = models.TextField()

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["reading", "prompt"], name="one_sheet_note_a_prompt")
        ]

    def __str__(self) -> str:
        return f"note {self.pk}"
