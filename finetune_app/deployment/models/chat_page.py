"""The page on which people talk to what is live."""

import secrets

from django.db import models
from django.utils.translation import gettext_lazy as _

from finetune_app.accounts.models import User
from finetune_app.deployment.models.live import Deployment


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
