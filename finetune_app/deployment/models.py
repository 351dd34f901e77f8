"""A deployment, its other names and its releases."""

from collections.abc import Sequence

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from finetune_app.accounts.models import Team, User
from finetune_app.candidates.models import Candidate
from finetune_app.goals.models import Goal
from finetune_app.knowledge.models import Knowledge


class Deployment(models.Model):
    """A name under which the newest promoted release answers. One canary may answer a percentage of
    the conversations."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="deployments")
    goal = models.OneToOneField(Goal, on_delete=models.CASCADE, related_name="deployment")
    name = models.SlugField(_("name"), max_length=60)  # the model's name in the API
    paused_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    # Prices, where somebody has entered them; None means unknown, never free.
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
        """The release that answers all conversations outside the canary."""
        return self.releases_with_candidate.exclude(promoted_at=None).first()

    @property
    def canary(self) -> "Release | None":
        """The release that answers a percentage of the conversations, if there is one."""
        return self.releases_with_candidate.filter(promoted_at=None, withdrawn_at=None).first()

    def current_and_canary(
        self, among: "Sequence[Release]" = ()
    ) -> "tuple[Release | None, Release | None]":
        """Both in one query; in none where the newest releases, `among`, hold the current one: a
        canary is newer than that."""
        if not any(one.promoted_at for one in among):
            promoted = self.releases.exclude(promoted_at=None).values("pk")[:1]
            canary = models.Q(promoted_at=None, withdrawn_at=None)
            among = list(self.releases_with_candidate.filter(canary | models.Q(pk__in=promoted)))
        return (
            next((one for one in among if one.promoted_at), None),
            next((one for one in among if one.is_canary), None),
        )

    @property
    def releases_with_candidate(self) -> "models.QuerySet[Release]":
        parts = ("base_model", "endpoint", "training", "knowledge")
        return self.releases.select_related("by", *(f"candidate__{part}" for part in parts))


class ModelAlias(models.Model):
    """Another name under which a deployment answers, such as the one a program already asks for."""

    MAX_LENGTH = 200

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="+")
    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="aliases")
    name = models.CharField(max_length=MAX_LENGTH)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["team", "name"], name="one_model_alias_a_team")
        ]

    def __str__(self) -> str:
        return self.name


class Release(models.Model):
    """One version of a deployment. A rollback is a new release of an earlier candidate, so the list
    shows what was live when.

    A canary has no `promoted_at` yet; it ends by being promoted or withdrawn.
    """

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="releases")
    number = models.PositiveIntegerField()
    candidate = models.ForeignKey(Candidate, on_delete=models.CASCADE, related_name="releases")
    by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(auto_now_add=True)
    canary_percent = models.PositiveSmallIntegerField(default=100)  # of the conversations
    promoted_at = models.DateTimeField(
        null=True, default=timezone.now
    )  # since then it answers everybody
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["deployment", "number"], name="one_release_number"),
            models.UniqueConstraint(
                fields=["deployment"],
                name="one_canary_at_a_time",
                condition=models.Q(promoted_at=None, withdrawn_at=None),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.deployment} {self.number}"

    @property
    def is_canary(self) -> bool:
        return self.promoted_at is None and self.withdrawn_at is None


def indexes_of_releases(knowledge: Knowledge) -> set[int]:
    """The numbers of its indexes that a release searches, or would if somebody went back to it."""
    released = Release.objects.filter(candidate__knowledge=knowledge)
    return set(released.values_list("candidate__knowledge_index", flat=True))
