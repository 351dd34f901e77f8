"""Step 6: a candidate in use, the keys that open it, and what was asked of it."""

import math
import secrets
import uuid
from datetime import date

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from finetune_app.accounts.models import Team, User
from finetune_app.candidates.models import Candidate
from finetune_app.datasets.models import Example
from finetune_app.goals.models import Goal
from finetune_app.training.models import Training


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
                fields=["deployment"], name="one_trial_at_a_time",
                condition=models.Q(full_at=None, taken_back_at=None),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.deployment} {self.number}"

    @property
    def on_trial(self) -> bool:
        return self.full_at is None and self.taken_back_at is None


def new_link() -> str:
    """Nobody guesses it: who has the link may open the page."""
    return secrets.token_urlsafe(18)


class PublicChat(models.Model):
    """A page on which people can talk to a deployment. No row, or not `on`: there is none."""

    class Audience(models.TextChoices):
        TEAM = "team", _("The team alone\nWhoever is signed in and belongs to it.")
        LINK = "link", _("Anybody with the link\nWithout signing in. A new link ends the old one.")

    deployment = models.OneToOneField(
        Deployment, on_delete=models.CASCADE, related_name="public_chat"
    )
    link = models.CharField(max_length=40, unique=True, default=new_link)
    on = models.BooleanField(default=False)
    audience = models.CharField(max_length=4, choices=Audience.choices, default=Audience.TEAM)
    origins = models.JSONField(default=list)  # sites that may show it in a frame, exactly
    title = models.CharField(max_length=80)
    greeting = models.TextField(blank=True)
    a_minute = models.PositiveIntegerField(default=6)  # questions of one visitor
    a_day = models.PositiveIntegerField(default=300)  # questions of all together
    changed_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    changed_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.deployment}: {self.title}"


# What a key may do, as the API's views name it, and in words.
ACTIONS = {
    "chat": _("ask models"), "embeddings": _("turn text into numbers (embeddings)"),
    "models": _("see which models there are"), "files": _("upload and read files"),
    "fine_tuning": _("train (fine-tuning)"),
}  # fmt: skip


def every_action() -> list[str]:
    return list(ACTIONS)


class ApiKey(models.Model):
    """Opens a team's models to a program. Only a hash of its secret is kept, and for a while that
    of the secret before it."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(_("what it is for"), max_length=60)
    prefix = models.CharField(max_length=12, unique=True)  # its open part, to find the row by
    ending = models.CharField(max_length=4)
    digest = models.CharField(max_length=64)
    deployment = models.ForeignKey(
        Deployment, null=True, blank=True, on_delete=models.CASCADE, related_name="keys"
    )  # None: everything of the team
    requests_a_minute = models.PositiveIntegerField(default=60)
    tokens_a_minute = models.PositiveIntegerField(default=100_000)
    actions = models.JSONField(default=every_action)  # of ACTIONS
    tokens_a_month = models.PositiveBigIntegerField(null=True, blank=True)  # None: no budget
    money_a_month = models.DecimalField(
        null=True, blank=True, max_digits=10, decimal_places=2
    )  # None: no such budget
    currency = models.CharField(max_length=3, default="EUR")  # of that
    month = models.DateField(null=True, blank=True)  # the first of the month that is counted
    month_tokens = models.PositiveBigIntegerField(default=0)
    previous_digest = models.CharField(max_length=64, blank=True)
    previous_until = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"ft-{self.prefix}…{self.ending}"

    @property
    def used_this_month(self) -> int:
        """Tokens, read and written, since the first of the month in UTC."""
        return self.month_tokens if self.month == this_month() else 0

    @property
    def is_used_up(self) -> bool:
        return self.tokens_a_month is not None and self.used_this_month >= self.tokens_a_month

    @property
    def old_secret_works(self) -> bool:
        return self.previous_until is not None and self.previous_until > timezone.now()

    @property
    def actions_in_words(self) -> str:
        may = [str(words) for action, words in ACTIONS.items() if action in self.actions]
        return str(_("may do everything")) if len(may) == len(ACTIONS) else ", ".join(may)


def this_month() -> date:
    return timezone.now().date().replace(day=1)


TROUBLE = {
    "engine_busy": _("The model was busy"),
    "engine_unavailable": _("The model was away"),
    "context_length_exceeded": _("The conversation was too long"),
    "model_paused": _("It was paused"),
    "model_not_found": _("No such model"),
    "model_failed": _("The model broke down"),
    "gone": _("They went away before the end"),
    "server_error": _("A fault of ours"),
}


class Request(models.Model):
    """One call of the API: how it went. What was said is a row of its own (Said), if at all."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="+")
    deployment = models.ForeignKey(
        Deployment, null=True, on_delete=models.CASCADE, related_name="requests"
    )
    release = models.ForeignKey(Release, null=True, on_delete=models.SET_NULL, related_name="+")
    key = models.ForeignKey(ApiKey, null=True, on_delete=models.SET_NULL, related_name="+")
    model = models.CharField(max_length=120)  # as it was asked for
    status = models.PositiveSmallIntegerField()  # of HTTP; 499: they went away
    error = models.CharField(max_length=60, blank=True)  # its code
    streamed = models.BooleanField(default=False)
    prompt_tokens = models.PositiveIntegerField(default=0)
    tokens = models.PositiveIntegerField(default=0)
    first_seconds = models.FloatField(null=True, blank=True)  # until the first piece of text
    seconds = models.FloatField(default=0)
    at = models.DateTimeField(default=timezone.now)  # when it was over
    reply_id = models.CharField(max_length=60, blank=True)  # what its asker was told
    # Mean log-probability of the tokens written, where the engine says it.
    confidence = models.FloatField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["deployment", "at"]),
            models.Index(fields=["key", "at"]),
            models.Index(fields=["at"]),
            models.Index(fields=["reply_id"], condition=~Q(reply_id=""), name="by_reply_id"),
            models.Index(
                fields=["deployment", "at"], condition=Q(status__gte=400), name="failed_requests"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model}: {self.status}"

    @property
    def failed(self) -> bool:
        return self.status >= 400

    @property
    def sureness(self) -> float | None:
        """How probable the model held each token it wrote, on average (geometric): 0 to 1."""
        return None if self.confidence is None else math.exp(min(self.confidence, 0.0))

    @property
    def trouble(self) -> str:
        """What went wrong, in words; what its asker did wrong was told to them alone."""
        return str(TROUBLE.get(self.error, _("It could not be read")))


class ApiFile(models.Model):
    """A file that a program uploaded to train on."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="api_files")
    name = models.CharField(max_length=200)
    purpose = models.CharField(max_length=20, default="fine-tune")
    kept_as = models.CharField(max_length=200)  # below DATA_DIR
    size = models.BigIntegerField()
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.name

    @property
    def api_id(self) -> str:
        return f"file-{self.public_id.hex}"


class ApiJob(models.Model):
    """A fine-tuning job that a program asked for: the goal and the training that came of it."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="api_jobs")
    goal = models.OneToOneField(Goal, on_delete=models.CASCADE, related_name="api_job")
    training = models.OneToOneField(
        Training, null=True, on_delete=models.CASCADE, related_name="api_job"
    )  # None where the file was no good: `problem` says why
    problem = models.TextField(blank=True)
    model = models.CharField(max_length=120)  # the base model, as it was asked for
    suffix = models.CharField(max_length=64, blank=True)
    seed = models.PositiveIntegerField(default=17)
    metadata = models.JSONField(default=dict)
    training_file = models.CharField(max_length=64)  # ids: the files may be gone by now
    validation_file = models.CharField(max_length=64, blank=True)
    asked = models.JSONField(default=dict)  # the hyperparameters, as they were asked for
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.api_id

    @property
    def api_id(self) -> str:
        return f"ftjob-{self.public_id.hex}"

    @property
    def tuned_name(self) -> str:
        """What programs call the model that comes of it."""
        return f"ft:{self.model}:team-{self.team_id}:{self.suffix}:{self.public_id.hex[:8]}"


class Hour(models.Model):
    """What the requests of an hour came to, for each key and version (monitoring/hours.py)."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="+")
    deployment = models.ForeignKey(
        Deployment, null=True, on_delete=models.CASCADE, related_name="hours", db_index=False
    )
    release = models.ForeignKey(Release, null=True, on_delete=models.SET_NULL, related_name="+")
    key = models.ForeignKey(
        ApiKey, null=True, on_delete=models.SET_NULL, related_name="hours", db_index=False
    )
    at = models.DateTimeField()  # its beginning
    requests = models.PositiveIntegerField()
    failed = models.PositiveIntegerField()
    prompt_tokens = models.PositiveBigIntegerField()
    tokens = models.PositiveBigIntegerField()
    busy = models.FloatField()  # this machine's seconds; shared by those who ran at the same time

    class Meta:
        indexes = [
            models.Index(fields=["deployment", "at"]),
            models.Index(fields=["key", "at"]),
        ]

    def __str__(self) -> str:
        return f"{self.deployment_id} {self.at:%Y-%m-%d %H}: {self.requests}"


class HourPace(models.Model):
    """How long the answers of an hour took, and what failed; of a deployment's version."""

    deployment = models.ForeignKey(
        Deployment, on_delete=models.CASCADE, related_name="paces", db_index=False
    )
    release = models.ForeignKey(Release, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField()
    waited = models.JSONField(default=dict)  # counts by step of pace.py
    first = models.JSONField(default=dict)
    errors = models.JSONField(default=dict)  # counts by code

    class Meta:
        indexes = [models.Index(fields=["deployment", "at"])]

    def __str__(self) -> str:
        return f"{self.deployment_id} {self.at:%Y-%m-%d %H}"


class HoursUpTo(models.Model):
    """The one row that says which hours are added up."""

    until = models.DateTimeField()

    def __str__(self) -> str:
        return f"up to {self.until:%Y-%m-%d %H}"


class Keeping(models.Model):
    """Whether a deployment keeps what is said, and for how long. No row: it keeps nothing."""

    deployment = models.OneToOneField(Deployment, on_delete=models.CASCADE, related_name="keeping")
    on = models.BooleanField(default=False)
    percent = models.PositiveSmallIntegerField(default=100)  # of requests
    days = models.PositiveSmallIntegerField(default=30)  # then the texts are deleted
    queues = models.BooleanField(default=False)  # bad answers go to the labelling queue unasked
    least_confidence = models.FloatField(null=True, blank=True)  # below it an answer counts as bad
    by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    since = models.DateTimeField(null=True, blank=True)  # switched on, by them

    def __str__(self) -> str:
        return f"{self.deployment}: {'on' if self.on else 'off'}"


class Said(models.Model):
    """What was asked and answered, without the personal data in it (monitoring/redaction.py)."""

    request = models.OneToOneField(
        Request, primary_key=True, on_delete=models.CASCADE, related_name="said"
    )
    deployment = models.ForeignKey(
        Deployment, on_delete=models.CASCADE, related_name="said", db_index=False
    )
    messages = models.JSONField(default=list)
    answer = models.TextField(blank=True)
    prompt = models.TextField(blank=True)  # the last thing asked, for the list
    words = models.TextField(blank=True)  # of prompt and answer, to search: " the pump leaks "
    redacted = models.PositiveIntegerField(default=0)  # stretches taken out
    example = models.ForeignKey(
        Example, null=True, on_delete=models.SET_NULL, related_name="+"
    )  # the row of the dataset that was made of it

    class Meta:
        indexes = [models.Index(fields=["deployment", "request"])]

    def __str__(self) -> str:
        return f"text of request {self.request_id}"


class Feedback(models.Model):
    """What somebody thought of an answer. A second opinion on the same one replaces the first."""

    UP, DOWN = 1, -1

    request = models.OneToOneField(Request, on_delete=models.CASCADE, related_name="feedback")
    deployment = models.ForeignKey(
        Deployment, null=True, on_delete=models.CASCADE, related_name="feedback", db_index=False
    )
    release = models.ForeignKey(Release, null=True, on_delete=models.SET_NULL, related_name="+")
    rating = models.SmallIntegerField(choices=[(UP, _("helpful")), (DOWN, _("not helpful"))])
    comment = models.TextField(blank=True)
    expected = models.TextField(blank=True)  # what it should have said
    by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["deployment", "rating", "at"])]

    def __str__(self) -> str:
        return f"{self.get_rating_display()}: request {self.request_id}"

    @property
    def is_up(self) -> bool:
        return self.rating == self.UP
