"""Step 5: candidates on the same frozen prompts, and what can honestly be concluded."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from finetune_app.accounts.models import User
from finetune_app.candidates.models import Candidate
from finetune_app.datasets.models import Version
from finetune_app.goals.models import Goal, MeasureKind
from finetune_app.jobs.models import Job


class Evaluation(models.Model):
    """`ours` is the candidate that the verdict is about, `base` what it is held against; `others`
    answer the same prompts beside them."""

    goal = models.ForeignKey(Goal, on_delete=models.CASCADE, related_name="evaluations")
    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="evaluations")
    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="evaluation")
    base = models.ForeignKey(Candidate, on_delete=models.CASCADE, related_name="+")
    ours = models.ForeignKey(Candidate, on_delete=models.CASCADE, related_name="+")
    others = models.ManyToManyField(Candidate, related_name="+")
    measure = models.CharField(max_length=8, choices=MeasureKind.choices)
    measure_settings = models.JSONField(default=dict)
    number_format = models.CharField(max_length=8, blank=True)
    looks = models.PositiveIntegerField(default=1)  # times this test set was seen, this included
    general = models.JSONField(default=dict)  # what the general check found; empty until it ran
    latency_seconds = models.JSONField(
        default=dict
    )  # candidate -> seconds for an answer, asked alone
    verdict = models.JSONField(default=dict)  # evaluation/verdict.py, stored when the job ends
    revealed_at = models.DateTimeField(null=True, blank=True)  # blind choice: names shown
    started_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"evaluation {self.pk}"


class Answer(models.Model):
    """What one candidate said to one test prompt."""

    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="answers")
    candidate = models.ForeignKey(Candidate, on_delete=models.CASCADE, related_name="answers")
    index = models.PositiveIntegerField()  # place in the test split
    row = models.BigIntegerField()  # id of the row in the version file
    text = models.TextField(blank=True)
    passed = models.BooleanField(null=True)
    score = models.FloatField(null=True)
    why = models.CharField(max_length=200, blank=True)
    refused = models.BooleanField(default=False)  # it could not be asked: too long a prompt
    tokens = models.PositiveIntegerField(default=0)
    prompt_tokens = models.PositiveIntegerField(default=0)  # all that it was told
    passages = models.JSONField(default=list)  # it was shown: [{"document", "page", "at"}], no text
    seconds = models.FloatField(default=0)

    class Meta:
        ordering = ["index", "candidate"]
        constraints = [
            models.UniqueConstraint(
                fields=["evaluation", "candidate", "index"], name="one_answer_a_prompt"
            )
        ]

    def __str__(self) -> str:
        return f"prompt {self.index}"


class TestSetLook(models.Model):
    """A test set's results were seen once. Kept when the evaluation is deleted: to forget the
    results does not make the prompts unseen again."""

    goal = models.ForeignKey(Goal, on_delete=models.CASCADE, related_name="looks")
    evaluation = models.OneToOneField(
        Evaluation, null=True, on_delete=models.SET_NULL, related_name="look"
    )
    rows = models.JSONField(default=list)  # ids of the test rows, which stay when a set grows
    at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"look at {len(self.rows)} prompts"


class Comparison(models.Model):
    """One test prompt of an evaluation, with the outcome of ours against base.

    Written when both answers are in (or when a person has voted), so that the page can
    filter and search without looking at the version file.
    """

    class Outcome(models.TextChoices):
        BETTER = "better", _("Better")
        SAME = "same", _("Same")
        WORSE = "worse", _("Worse")
        OPEN = "open", _("Not judged yet")

    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="comparisons")
    index = models.PositiveIntegerField()
    prompt = models.TextField(blank=True)
    wanted = models.TextField(blank=True)
    outcome = models.CharField(max_length=8, choices=Outcome.choices, default=Outcome.OPEN)

    class Meta:
        ordering = ["index"]
        constraints = [
            models.UniqueConstraint(fields=["evaluation", "index"], name="one_comparison_a_prompt")
        ]

    def __str__(self) -> str:
        return f"prompt {self.index}: {self.outcome}"


class Vote(models.Model):
    """A person's blind choice between two answers. A vote after the reveal does not count."""

    class Choice(models.TextChoices):
        BASE = "base", _("base")
        OURS = "ours", _("ours")
        TIE = "tie", _("tie")
        BOTH_BAD = "both_bad", _("both bad")

    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="votes")
    index = models.PositiveIntegerField()
    by = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    choice = models.CharField(max_length=8, choices=Choice.choices)
    left_was = models.CharField(max_length=8)  # "base" or "ours": which side was shown left
    counts = models.BooleanField(default=True)
    at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["evaluation", "index", "by"], name="one_vote_a_person")
        ]

    def __str__(self) -> str:
        return f"{self.by}: {self.choice}"
