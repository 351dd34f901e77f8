"""A judge model's second opinion on an evaluation, with every answer it gave."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from finetune_app.accounts.models import User
from finetune_app.basemodels.models import BaseModel
from finetune_app.candidates.models import Candidate, CandidateKind
from finetune_app.evaluation.models import Evaluation
from finetune_app.goals.models import Goal
from finetune_app.jobs.models import ACTIVE, Job, State
from finetune_app.judging.judge_prompt import judge_instructions
from finetune_app.providers.models import Endpoint


class JudgeRunQuerySet(models.QuerySet["JudgeRun"]):
    def active(self) -> "JudgeRunQuerySet":
        """Waiting or running."""
        return self.filter(job__state__in=ACTIVE)

    def of_goal(self, goal: Goal) -> "JudgeRunQuerySet":
        """With the related rows that pages and jobs read."""
        return self.filter(evaluation__goal=goal).with_details()

    def with_details(self) -> "JudgeRunQuerySet":
        return self.select_related("job", "base_model", "endpoint", "evaluation__goal")


class JudgeRun(models.Model):
    """One judge, asked about one evaluation. Exactly one of `base_model` and `endpoint` is set."""

    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="judge_runs")
    base_model = models.ForeignKey(
        BaseModel, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    endpoint = models.ForeignKey(
        Endpoint, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    rubric = models.TextField()  # what makes an answer good, in a person's words
    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="judge_run")
    result = models.JSONField(default=dict)  # StoredJudgement; empty until the job ended
    # For a remote model, whoever started it agreed to what is sent there.
    started_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = JudgeRunQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                name="a_judge_here_or_elsewhere",
                condition=Q(base_model=None, endpoint__isnull=False)
                | Q(base_model__isnull=False, endpoint=None),
            )
        ]

    def __str__(self) -> str:
        return f"judge run {self.pk}"

    @property
    def judge_name(self) -> str:
        return str(self.endpoint.name if self.endpoint else self.base_model)

    @property
    def is_done(self) -> bool:
        return self.job.state == State.SUCCEEDED and bool(self.result)

    def as_candidate(self) -> Candidate:
        """The judge as an unsaved candidate, to be asked as any other model."""
        return Candidate(
            goal=self.evaluation.goal,
            kind=CandidateKind.PROMPT,
            name=self.judge_name[:100],
            base_model=self.base_model,
            endpoint=self.endpoint,
            instructions=judge_instructions(self.rubric),
        )


class JudgeAnswer(models.Model):
    """What the judge said about one pair in one order."""

    class Kind(models.TextChoices):
        """job_messages.Kind."""

        ANSWERS = "answers", _("Base against ours")
        LONGER = "longer", _("A wrong answer that is longer")
        SHORTER = "shorter", _("A wrong answer that is not longer")
        PADDED = "padded", _("The right answer, padded")
        BASE_STYLE = "base_style", _("A wrong answer of the base model")
        OURS_STYLE = "ours_style", _("A wrong answer of ours")

    class Choice(models.TextChoices):
        """job_messages.Choice."""

        A = "A", _("A")
        B = "B", _("B")
        TIE = "T", _("a tie")
        NONE = "none", _("no usable answer")

    run = models.ForeignKey(JudgeRun, on_delete=models.CASCADE, related_name="answers")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    index = models.PositiveIntegerField()  # position of the prompt in the test split
    swapped = models.BooleanField()  # the pair's second answer was shown as A
    choice = models.CharField(max_length=4, choices=Choice.choices)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["run", "kind", "index", "swapped"], name="one_choice_an_order"
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.index}: {self.choice}"
