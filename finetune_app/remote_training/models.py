"""Accounts on training platforms, and the trainings that run there."""

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from finetune_app.accounts.models import Team, User
from finetune_app.goals.models import Goal
from finetune_app.jobs.models import Job
from finetune_app.providers.models import Endpoint
from finetune_app.remote_training.platform_kinds import BY_NAME, OPENAI, OVER, PlatformKind
from finetune_app.versions.models import Version


def new_mark() -> str:
    return f"ft{uuid.uuid4().hex}"


class SpendingCap(models.Model):
    """Most that may be spent in a calendar month on what was started then (spending.py)."""

    spending_cap = models.DecimalField(  # None is no limit
        max_digits=12, decimal_places=2, null=True, blank=True
    )
    # Highest cost of the trainings of a month, named by its first day, that were deleted here.
    deleted_month = models.DateField(null=True, blank=True)
    deleted_cost = models.DecimalField(max_digits=16, decimal_places=4, default=0)

    class Meta:
        abstract = True


class PlatformAccount(SpendingCap):
    """An account of a team on a training platform. The key is stored encrypted, never shown."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="platform_accounts")
    platform = models.CharField(max_length=20, default=OPENAI)  # a name in platform_kinds.py
    name = models.CharField(_("name"), max_length=80)
    url = models.URLField(_("address"), max_length=300)
    options = models.JSONField(default=dict)  # what this platform needs beside, nothing secret
    secret = models.TextField()  # the key, encrypted
    # In the account's currency per million tokens that are read in training; None is "not known".
    price = models.DecimalField(max_digits=10, decimal_places=4, null=True, blank=True)
    price_of = models.DateField(null=True, blank=True)  # when somebody last looked it up
    added_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["team", "name"], name="one_account_name_a_team")
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def kind(self) -> PlatformKind:
        return BY_NAME[self.platform]

    @property
    def chat_url(self) -> str:
        """Address below which its models answer."""
        return f"{self.url.rstrip('/')}{self.kind.chat_path}"


class TrainingElsewhere(models.Model):
    """What is followed of any training elsewhere (following.py). What it is to be is written before
    anything is sent there."""

    number = models.PositiveIntegerField()  # of the goal's trainings, here and elsewhere
    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="+")
    spec = models.JSONField(default=dict)  # frozen
    mark = models.CharField(max_length=40, unique=True, default=new_mark, editable=False)
    start_tried_at = models.DateTimeField(null=True, blank=True)  # set before it is started there
    remote_id = models.CharField(max_length=200, blank=True)
    polls = models.PositiveIntegerField(default=0)
    failures = models.PositiveIntegerField(default=0)  # calls in a row without an answer
    times_unknown = models.PositiveIntegerField(default=0)  # of them, the last: it is not known
    agreed_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    # Of the rows themselves, under names of their own.
    goal: "models.ForeignKey[Goal]"
    job: "models.OneToOneField[Job]"

    is_given_up = False  # set by whoever deletes it though it may run there

    class Meta:
        abstract = True

    @property
    def place(self) -> str:
        """Where it is trained, as a sentence calls it after “on”."""
        raise NotImplementedError

    @property
    def has_ended_there(self) -> bool:
        """As the other side said itself."""
        raise NotImplementedError

    @property
    def may_run_there(self) -> bool:
        """Whether it may have been started, and its end was never seen."""
        return self.start_tried_at is not None and not self.has_ended_there


class RemoteTraining(TrainingElsewhere):
    """A training on a platform. `spec`: model, method, hyperparameters, seed."""

    goal = models.ForeignKey(Goal, on_delete=models.CASCADE, related_name="remote_trainings")
    account = models.ForeignKey(
        PlatformAccount, on_delete=models.RESTRICT, related_name="trainings"
    )
    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="remote_training")
    # Most tokens that are read, and what they cost, as was agreed to.
    expected_tokens = models.PositiveBigIntegerField()
    expected_cost = models.DecimalField(max_digits=12, decimal_places=4, null=True, blank=True)

    files = models.JSONField(default=dict)  # ids there by split
    cancel_tried_at = models.DateTimeField(null=True, blank=True)  # first
    remote_state = models.CharField(max_length=80, blank=True)  # RemoteJob.state
    remote_model = models.CharField(max_length=300, blank=True)  # what came of it
    trained_tokens = models.PositiveBigIntegerField(null=True, blank=True)
    finishes_at = models.DateTimeField(null=True, blank=True)  # as the platform expects
    endpoint = models.ForeignKey(  # through which the tuned model answers
        Endpoint, null=True, blank=True, on_delete=models.SET_NULL, related_name="trained_by"
    )

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["goal", "number"], name="one_remote_training_number")
        ]

    def __str__(self) -> str:
        return f"training {self.number} on {self.account}"

    @property
    def folder(self) -> str:
        """For what is being sent."""
        return f"remote/{self.pk}"

    @property
    def place(self) -> str:
        return self.account.name

    @property
    def has_ended_there(self) -> bool:
        return self.remote_state in OVER


class RemoteTrainingEvent(models.Model):
    """What the platform said of a training."""

    training = models.ForeignKey(RemoteTraining, on_delete=models.CASCADE, related_name="events")
    event_id = models.CharField(max_length=200)
    at = models.DateTimeField()
    message = models.TextField()
    level = models.CharField(max_length=20, default="info")
    metrics = models.JSONField(default=dict)

    class Meta:
        ordering = ["at", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["training", "event_id"], name="one_remote_event")
        ]

    def __str__(self) -> str:
        return self.message
