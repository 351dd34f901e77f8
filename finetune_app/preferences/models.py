"""Two answers of one candidate to a prompt of the dataset, and which of them a person prefers."""

from datetime import datetime

from django.db import models
from django.db.models import Q

from finetune_app.accounts.models import User
from finetune_app.candidates.models import Candidate
from finetune_app.datasets.models import Edit, Example
from finetune_app.goals.models import Goal
from finetune_app.jobs.models import ACTIVE, Job


class PreferenceRunQuerySet(models.QuerySet["PreferenceRun"]):
    def active(self) -> "PreferenceRunQuerySet":
        """Waiting or running."""
        return self.filter(job__state__in=ACTIVE)

    def with_details(self) -> "PreferenceRunQuerySet":
        """With the related rows that pages and jobs read."""
        return self.select_related(
            "job",
            "goal",
            "candidate__base_model",
            "candidate__endpoint",
            "candidate__training",
            "candidate__knowledge",
        )


class PreferenceRun(models.Model):
    """A job in which a candidate answers each prompt twice, for people to choose between.

    The newest run of a goal is the one that people choose on.
    """

    goal = models.ForeignKey(Goal, on_delete=models.CASCADE, related_name="preference_runs")
    candidate = models.ForeignKey(Candidate, on_delete=models.CASCADE, related_name="+")
    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="preference_run")
    # For a remote model, whoever started it agreed to what is sent there.
    started_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = PreferenceRunQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"answers of {self.candidate} to choose between"


class AnswerPairQuerySet(models.QuerySet["AnswerPair"]):
    def ready(self) -> "AnswerPairQuerySet":
        """Both answers are there and nobody has chosen yet; not of rows in the trash."""
        return self.filter(state=AnswerPair.State.READY, example__deleted_at=None)

    def free_for(self, user: User, now: datetime) -> "AnswerPairQuerySet":
        """Ready, and not in front of somebody else."""
        return self.ready().filter(Q(held_by=None) | Q(held_by=user) | Q(held_until__lt=now))

    def decided(self) -> "AnswerPairQuerySet":
        """A person has chosen, or found neither good."""
        return self.filter(state__in=DECIDED)

    def undecided(self) -> "AnswerPairQuerySet":
        """Waiting for the answers or for a person."""
        return self.filter(state__in=(AnswerPair.State.WAITING, AnswerPair.State.READY))


class AnswerPair(models.Model):
    """Two different answers to the prompt of one row, of which a person may choose the better."""

    class State(models.TextChoices):
        WAITING = "waiting"  # for the answers
        READY = "ready"  # to choose
        CHOSEN = "chosen"  # made into a training pair
        NEITHER = "neither"  # is good, so nothing is learned from it
        SAME = "same"  # the candidate gave no two different answers
        NO_ANSWER = "no_answer"  # the prompt was too long, or its answers were cut off
        GONE = "gone"  # the row has changed or may not be learned from any more

    run = models.ForeignKey(PreferenceRun, on_delete=models.CASCADE, related_name="answer_pairs")
    example = models.ForeignKey(Example, on_delete=models.CASCADE, related_name="+")
    place = models.PositiveIntegerField()  # in the order in which people see them
    fingerprint = models.CharField(max_length=64)  # of the conversation that was answered
    first = models.TextField(blank=True)
    second = models.TextField(blank=True)
    swapped = models.BooleanField(default=False)  # the second answer is shown as A
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    held_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    held_until = models.DateTimeField(null=True)  # from then on others may see it
    decided_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    decided_at = models.DateTimeField(null=True)
    edit = models.ForeignKey(Edit, null=True, on_delete=models.SET_NULL, related_name="+")
    made = models.ForeignKey(  # the row that became, or holds, the training pair
        Example, null=True, on_delete=models.SET_NULL, related_name="+"
    )

    objects = AnswerPairQuerySet.as_manager()

    class Meta:
        ordering = ["place"]
        constraints = [
            models.UniqueConstraint(fields=["run", "example"], name="one_answer_pair_a_row"),
        ]

    def __str__(self) -> str:
        return f"answers to {self.example_id}"

    @property
    def sides(self) -> dict[str, str]:
        """The answers as they are shown: {"a": text, "b": text}."""
        if self.swapped:
            return {"a": self.second, "b": self.first}
        return {"a": self.first, "b": self.second}


DECIDED = (AnswerPair.State.CHOSEN, AnswerPair.State.NEITHER)
UNUSABLE = (AnswerPair.State.SAME, AnswerPair.State.NO_ANSWER, AnswerPair.State.GONE)
