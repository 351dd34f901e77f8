"""The public chat page of a deployment, which needs no account."""

import secrets

from django.db import models
from django.utils.translation import gettext_lazy as _

from finetune_app.accounts.models import User
from finetune_app.deployment.models import Deployment


def new_link() -> str:
    """144 random bits: the link cannot be guessed."""
    return secrets.token_urlsafe(18)


class PublicChatQuerySet(models.QuerySet["PublicChat"]):
    def switched_on(self) -> "PublicChatQuerySet":
        return self.filter(on=True)


class PublicChat(models.Model):
    """The chat page of a deployment. Without a row, or while not `on`, there is no page."""

    class Audience(models.TextChoices):
        TEAM = "team", _("The team alone\nWhoever is signed in and belongs to it.")
        LINK = "link", _("Anybody with the link\nWithout signing in. A new link ends the old one.")

    deployment = models.OneToOneField(
        Deployment, on_delete=models.CASCADE, related_name="public_chat"
    )
    link = models.CharField(max_length=40, unique=True, default=new_link)
    on = models.BooleanField(default=False)
    audience = models.CharField(max_length=4, choices=Audience.choices, default=Audience.TEAM)
    origins = models.JSONField(default=list)  # exact origins of sites that may frame it
    title = models.CharField(max_length=80)
    greeting = models.TextField(blank=True)
    questions_per_minute = models.PositiveIntegerField(default=6)  # of one visitor
    questions_per_day = models.PositiveIntegerField(default=300)  # of all visitors together
    changed_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    changed_at = models.DateTimeField(auto_now=True)

    objects = PublicChatQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.deployment}: {self.title}"
