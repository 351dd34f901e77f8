"""Alerts of a deployment: the rules, who is notified, and what was sent."""

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from finetune_app.accounts.models import User
from finetune_app.deployment.models import Deployment
from finetune_app.evaluation.models import Evaluation


class Watch(models.Model):
    """Alert settings of a deployment: recipients, webhook and quiet hours."""

    deployment = models.OneToOneField(Deployment, on_delete=models.CASCADE, related_name="watch")
    people = models.ManyToManyField(User, blank=True, related_name="+")  # by e-mail, while members
    webhook = models.CharField(max_length=300, blank=True)
    secret = models.TextField(blank=True)  # signs the webhook messages; encrypted
    quiet_from = models.PositiveSmallIntegerField(null=True, blank=True)  # hours, 0 to 23
    quiet_to = models.PositiveSmallIntegerField(null=True, blank=True)
    zone = models.CharField(max_length=60, default="UTC")  # of those hours
    recheck_days = models.PositiveSmallIntegerField(null=True, blank=True)  # None: only on request
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"alerts of {self.deployment}"


class Metric(models.TextChoices):
    ERRORS = "errors", _("Too many requests fail")
    SLOW = "slow", _("Answers take too long")
    BUDGET = "budget", _("The month's tokens are used up")
    WORSE = "worse", _("It answers worse than when it went live")
    DRIFT = "drift", _("It is asked other things than it learned from")


class Rule(models.Model):
    """A limit for one metric, and whether it is exceeded at the moment (see rules.py)."""

    watch = models.ForeignKey(Watch, on_delete=models.CASCADE, related_name="rules")
    metric = models.CharField(max_length=8, choices=Metric.choices)
    limit = models.FloatField()  # percent, seconds, tokens a month, percentage points, pairs
    on = models.BooleanField(default=True)
    raised_at = models.DateTimeField(null=True, blank=True)  # None: not raised
    # Checks in a row that contradict the state.
    consecutive_checks = models.PositiveSmallIntegerField(default=0)
    check_count = models.PositiveIntegerField(default=0)  # for compare-and-set updates
    checked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["watch", "metric"], name="one_rule_a_watch")]

    def __str__(self) -> str:
        return f"{self.metric} above {self.limit:g}"


class Notice(models.Model):
    """One message by one channel. Sent once; retried while the recipient does not answer."""

    class Kind(models.TextChoices):
        RAISED = "raised", _("alert")
        RECOVERED = "recovered", _("recovered")
        TRY = "try", _("a test")

    class Channel(models.TextChoices):
        EMAIL = "email", _("e-mail")
        WEBHOOK = "webhook", _("webhook")

    watch = models.ForeignKey(Watch, on_delete=models.CASCADE, related_name="notices")
    rule = models.ForeignKey(Rule, null=True, on_delete=models.CASCADE, related_name="notices")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    channel = models.CharField(max_length=8, choices=Channel.choices)
    text = models.CharField(max_length=300)
    value = models.FloatField(null=True, blank=True)
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    at = models.DateTimeField(auto_now_add=True)
    due_at = models.DateTimeField()
    attempts = models.PositiveSmallIntegerField(default=0)
    sent_at = models.DateTimeField(null=True, blank=True)
    given_up_at = models.DateTimeField(null=True, blank=True)
    problem = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(
                fields=["due_at"],
                name="notices_to_send",
                condition=models.Q(sent_at=None, given_up_at=None),
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


class Recheck(models.Model):
    """A repetition of the evaluation that the live candidate was chosen by (see rechecks.py)."""

    watch = models.ForeignKey(Watch, on_delete=models.CASCADE, related_name="rechecks")
    evaluation = models.OneToOneField(Evaluation, on_delete=models.CASCADE, related_name="recheck")
    baseline = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.evaluation} after {self.baseline}"
