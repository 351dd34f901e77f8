"""What opens a team's models to programs, and how far."""

from datetime import date

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from finetune_app.accounts.models import Team, User
from finetune_app.deployment.models.live import Deployment

# What a key may do, as the API's views name it, and in words.
ACTIONS = {
    "chat": _("ask models"),
    "embeddings": _("turn text into numbers (embeddings)"),
    "models": _("see which models there are"),
    "files": _("upload and read files"),
    "fine_tuning": _("train (fine-tuning)"),
}


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
