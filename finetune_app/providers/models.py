"""Remote models: an OpenAI-compatible chat API and its key."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from finetune_app.accounts.models import Team, User

OPENAI = "openai"
DEFAULT_CONTEXT = 8_192  # tokens, of a model whose context length nobody gave


class Endpoint(models.Model):
    """A remote model of a team. The owner who adds it consents to data leaving this machine."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="endpoints")
    name = models.CharField(_("name"), max_length=80)
    url = models.URLField(_("address"), max_length=300)  # ends before /chat/completions
    api = models.CharField(max_length=20, default=OPENAI)  # the format that it speaks: client.py
    model = models.CharField(_("model"), max_length=200)  # its name on the platform
    secret = models.TextField(blank=True)  # the key, encrypted; never shown again
    context = models.PositiveIntegerField(default=DEFAULT_CONTEXT)  # tokens
    price_in = models.DecimalField(max_digits=10, decimal_places=4, null=True, blank=True)
    price_out = models.DecimalField(max_digits=10, decimal_places=4, null=True, blank=True)
    # Prices are in the team's currency per million tokens; None is "not set", never 0.
    consented_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    consented_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["team", "name"], name="one_endpoint_name_a_team")
        ]

    def __str__(self) -> str:
        return self.name
