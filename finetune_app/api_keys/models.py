from datetime import date

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from finetune_app.accounts.models import Team, User
from finetune_app.deployment.models import Deployment

# What a key may be allowed to do: the name that the API's views use, and its label on pages.
ACTIONS = {
    "chat": _("ask models"),
    "embeddings": _("turn text into numbers (embeddings)"),
    "models": _("see which models there are"),
    "files": _("upload and read files"),
    "fine_tuning": _("train (fine-tuning)"),
}
FOR_EDITORS = ("files", "fine_tuning")  # what a viewer may not do on pages either
DEFAULT_REQUESTS_PER_MINUTE = 60
DEFAULT_TOKENS_PER_MINUTE = 100_000
DEFAULT_DAYS = 365  # of a key from a page; one from the shell works for ever
DEFAULT_ROTATION_HOURS = 24  # in which the previous secret works


def every_action() -> list[str]:
    return list(ACTIONS)


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def not_revoked(self) -> "ApiKeyQuerySet":
        return self.filter(revoked_at=None)

    def active(self) -> "ApiKeyQuerySet":
        """Neither revoked nor expired."""
        return self.not_revoked().filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()))


class ApiKey(models.Model):
    """Lets a program use a team's models. Only hashes of its secret and of the previous one are
    stored."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(_("what it is for"), max_length=60)
    prefix = models.CharField(max_length=12, unique=True)  # the public part, to find the row by
    ending = models.CharField(max_length=4)  # of the secret, shown so that people can tell keys
    digest = models.CharField(max_length=64)
    # Of the pepper in `digest`; "" before it was noted, which was before any rotation.
    pepper_id = models.CharField(max_length=8, blank=True, default="")
    # None: the key can use everything of the team.
    deployment = models.ForeignKey(
        Deployment, null=True, blank=True, on_delete=models.CASCADE, related_name="keys"
    )
    actions = models.JSONField(default=every_action)  # keys of ACTIONS
    requests_per_minute = models.PositiveIntegerField(default=DEFAULT_REQUESTS_PER_MINUTE)
    tokens_per_minute = models.PositiveIntegerField(default=DEFAULT_TOKENS_PER_MINUTE)
    # Monthly budgets; None: no budget.
    tokens_per_month = models.PositiveBigIntegerField(null=True, blank=True)
    cost_per_month = models.DecimalField(null=True, blank=True, max_digits=10, decimal_places=2)
    currency = models.CharField(max_length=3, default="EUR")
    month = models.DateField(null=True, blank=True)  # the first of the month that is counted
    month_tokens = models.PositiveBigIntegerField(default=0)
    # What requests of a month to deployments that were deleted in it had cost, by currency.
    deleted_month = models.DateField(null=True, blank=True)
    deleted_costs = models.JSONField(default=dict)
    # After a rotation the previous secret works until then.
    previous_digest = models.CharField(max_length=64, blank=True)
    previous_until = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    # Who rotated to the secret, and to the previous one: each was shown to them. None: nobody did,
    # or the shell.
    rotated_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    previous_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    used_at = models.DateTimeField(null=True, blank=True)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"ft-{self.prefix}…{self.ending}"

    @property
    def is_active(self) -> bool:
        """Neither revoked nor expired."""
        expired = self.expires_at is not None and self.expires_at <= timezone.now()
        return self.revoked_at is None and not expired

    @property
    def used_this_month(self) -> int:
        """Tokens, read and written, since the first of the month in UTC."""
        return self.month_tokens if self.month == this_month() else 0

    @property
    def is_used_up(self) -> bool:
        """Whether the month's token budget is used up."""
        return self.tokens_per_month is not None and self.used_this_month >= self.tokens_per_month

    @property
    def previous_secret_works(self) -> bool:
        return self.previous_until is not None and self.previous_until > timezone.now()

    @property
    def actions_in_words(self) -> str:
        may = [str(words) for action, words in ACTIONS.items() if action in self.actions]
        if len(may) == len(ACTIONS):
            return str(_("may do everything"))
        return ", ".join(may) or str(_("may do nothing"))


def this_month() -> date:
    return timezone.now().date().replace(day=1)
