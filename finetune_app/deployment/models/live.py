"""What answers under a name, and what answered before."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from finetune_app.accounts.models import Team, User
from finetune_app.candidates.models import Candidate
from finetune_app.goals.models import Goal


class Deployment(models.Model):
    """A name under which a goal's candidate answers: with its newest release that is not only on
    trial. Beside that one, one other may be on trial with a share of the conversations."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="deployments")
    goal = models.OneToOneField(Goal, on_delete=models.CASCADE, related_name="deployment")
    name = models.SlugField(_("name"), max_length=60)  # what programs call the model
    paused_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    # What it costs, as far as anybody said; None is not known, never nothing.
    currency = models.CharField(max_length=3, default="EUR")
    hour_price = models.DecimalField(null=True, blank=True, max_digits=12, decimal_places=4)
    read_price = models.DecimalField(null=True, blank=True, max_digits=12, decimal_places=4)
    written_price = models.DecimalField(null=True, blank=True, max_digits=12, decimal_places=4)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["team", "name"], name="one_deployment_name_a_team")
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def current(self) -> "Release | None":
        """What answers everybody, or all who are not part of a trial."""
        return self._whole.exclude(full_at=None).first()

    @property
    def trial(self) -> "Release | None":
        """What is tried with a share of the conversations."""
        return self._whole.filter(full_at=None, taken_back_at=None).first()

    @property
    def _whole(self) -> "models.QuerySet[Release]":
        return self.releases.select_related("candidate", "by")


class Release(models.Model):
    """One version of what a deployment answers. A roll-back is a release of an earlier candidate,
    so the list always tells what was live when.

    One on trial has no `full_at`; it ends as one that answers everybody, or is taken back.
    """

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="releases")
    number = models.PositiveIntegerField()
    candidate = models.ForeignKey(Candidate, on_delete=models.CASCADE, related_name="releases")
    by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(auto_now_add=True)
    share = models.PositiveSmallIntegerField(default=100)  # of 100 conversations, while on trial
    full_at = models.DateTimeField(null=True, default=timezone.now)  # since then for everybody
    taken_back_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["deployment", "number"], name="one_release_number"),
            models.UniqueConstraint(
                fields=["deployment"],
                name="one_trial_at_a_time",
                condition=models.Q(full_at=None, taken_back_at=None),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.deployment} {self.number}"

    @property
    def on_trial(self) -> bool:
        return self.full_at is None and self.taken_back_at is None
