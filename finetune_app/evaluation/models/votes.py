"""Blind votes: links for people without accounts, who votes, and what they chose."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from finetune_app.accounts.models import User
from finetune_app.evaluation.models.evaluations import Evaluation


class VoteLinkQuerySet(models.QuerySet["VoteLink"]):
    def usable(self) -> "VoteLinkQuerySet":
        return self.filter(revoked_at=None, expires_at__gt=timezone.now())


class VoteLink(models.Model):
    """A link by which people without accounts compare the answers of one evaluation.

    Only the hash of its secret is stored. A revoked link stays, with the votes that came by it.
    """

    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="vote_links")
    secret_hash = models.CharField(max_length=64, unique=True)
    note = models.CharField(max_length=300, blank=True)  # what voters should look at
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = VoteLinkQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"link for votes on {self.evaluation}"


class Voter(models.Model):
    """A member of the team, or somebody who came by a link: then with `link`, without `user`."""

    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="voters")
    link = models.ForeignKey(VoteLink, null=True, on_delete=models.CASCADE, related_name="voters")
    user = models.ForeignKey(User, null=True, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=60, blank=True)
    blind = models.BooleanField(default=True)  # False: can have seen which answer is whose
    # list[Pair] (votes/ballots.py), in the order they are shown
    pairs = models.JSONField(default=list)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["evaluation", "user"], name="one_voter_a_member")
        ]

    def __str__(self) -> str:
        return str(self.user) if self.user else self.name or f"voter {self.pk}"


class VoteQuerySet(models.QuerySet["Vote"]):
    def counted(self) -> "VoteQuerySet":
        """Cast blind, on ours and base. Votes on control pairs never count."""
        return self.filter(counts=True, control="")

    def on_controls(self) -> "VoteQuerySet":
        """Cast blind, on ours and an answer that needs no model."""
        return self.filter(counts=True).exclude(control="")


class Vote(models.Model):
    """A person's choice between two answers without names.

    One that was not blind, such as one after the reveal, does not count.
    """

    class Choice(models.TextChoices):
        BASE = "base", _("base")
        OURS = "ours", _("ours")
        CONTROL = "control", _("control")
        TIE = "tie", _("tie")
        BOTH_BAD = "both_bad", _("both bad")

    class Control(models.TextChoices):
        """What stands beside ours in a control pair: trivial baselines that read as answers."""

        REPEAT = "repeat", _("the question repeated")
        NEAREST_MEANING = "nearest_meaning", _("the answer of the nearest example")

    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="votes")
    # Null: cast with a version that had no voters; set when its author votes again.
    voter = models.ForeignKey(Voter, null=True, on_delete=models.CASCADE, related_name="votes")
    # The voter's account, so that the copy of a person's own data has their votes.
    by = models.ForeignKey(User, null=True, on_delete=models.CASCADE, related_name="+")
    index = models.PositiveIntegerField()
    choice = models.CharField(max_length=8, choices=Choice.choices)
    left_was = models.CharField(max_length=16)  # "base", "ours" or the baseline of a control pair
    # What stood beside ours in place of base; empty for a pair that counts.
    control = models.CharField(max_length=16, blank=True, choices=Control.choices)
    counts = models.BooleanField(default=True)
    at = models.DateTimeField(auto_now=True)

    objects = VoteQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["voter", "index", "control"], name="one_vote_a_voter")
        ]

    def __str__(self) -> str:
        return f"{self.voter}: {self.choice}"
