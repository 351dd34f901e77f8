"""Form of the alert settings."""

from typing import TYPE_CHECKING, Any
from zoneinfo import available_timezones

from django import forms
from django.utils.translation import gettext_lazy as _

from finetune_app.accounts.models import User
from finetune_app.alerts.models import Metric, Watch
from finetune_app.alerts.services import checked_webhook
from finetune_app.core.errors import PlainError

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

HOURS = [("", _("never"))] + [(hour, f"{hour:02}:00") for hour in range(24)]
DAYS = [
    ("", _("only when somebody asks")),
    (7, _("every week")),
    (30, _("every month")),
    (90, _("every three months")),
]
LIMITS = {
    Metric.ERRORS: (_("More than so many percent fail"), 0.1, 100),
    Metric.SLOW: (_("95 of 100 answers take longer than so many seconds"), 0.1, 3600),
    Metric.BUDGET: (_("More tokens a month than"), 1, 10**12),
    Metric.WORSE: (_("Right on so many of 100 test prompts fewer"), 1, 100),
    Metric.DRIFT: (_("More than so many of 100 pairs of prompts can be told apart"), 51, 100),
}


def _hour_field(label: "StrPromise") -> forms.TypedChoiceField:
    return forms.TypedChoiceField(
        label=label, choices=HOURS, coerce=int, empty_value=None, required=False
    )


class WatchForm(forms.Form):
    people = forms.ModelMultipleChoiceField(
        label=_("Tell by e-mail"),
        queryset=User.objects.none(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    webhook = forms.CharField(
        label=_("Webhook"),
        required=False,
        max_length=300,
        help_text=_("An address that gets a signed message (POST, JSON)."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "inputmode": "url"}),
    )
    quiet_from = _hour_field(_("Quiet from"))
    quiet_to = _hour_field(_("until"))
    recheck_days = forms.TypedChoiceField(
        label=_("Test it again"),
        choices=DAYS,
        coerce=int,
        empty_value=None,
        required=False,
        help_text=_("On the same test prompts. A repetition is no new look at them."),
    )
    zone = forms.CharField(label=_("Time zone"), max_length=60, required=False)

    def __init__(self, *args: Any, watch: Watch, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        members = User.objects.filter(memberships__team=watch.deployment.team_id)
        self.fields["people"].queryset = members.order_by("name", "pk")  # type: ignore[attr-defined]
        for metric, (label, minimum, maximum) in LIMITS.items():
            self.fields[f"{metric}_on"] = forms.BooleanField(label=metric.label, required=False)
            self.fields[metric.value] = forms.FloatField(
                label=label, required=False, min_value=minimum, max_value=maximum
            )

    @classmethod
    def filled(cls, watch: Watch) -> "WatchForm":
        """Filled with the current settings."""
        initial: dict[str, object] = {
            "people": list(watch.people.all()),
            "webhook": watch.webhook,
            "zone": watch.zone,
            "quiet_from": watch.quiet_from,
            "quiet_to": watch.quiet_to,
            "recheck_days": watch.recheck_days,
        }
        for rule in watch.rules.all():
            limit = int(rule.limit) if rule.limit.is_integer() else rule.limit
            initial |= {f"{rule.metric}_on": rule.on, rule.metric: limit}
        return cls(initial=initial, watch=watch)

    def clean_webhook(self) -> str:
        try:
            return checked_webhook(self.cleaned_data["webhook"])
        except PlainError as problem:
            raise forms.ValidationError(problem.message) from None

    def clean_zone(self) -> str:
        zone: str = self.cleaned_data["zone"].strip() or "UTC"
        if zone not in available_timezones():
            raise forms.ValidationError(_("Write it as in Europe/Paris or UTC."))
        return zone

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        for metric in Metric:
            missing = given.get(f"{metric}_on") and given.get(metric.value) is None
            if missing and metric.value not in self.errors:
                self.add_error(metric.value, _("Say from which number on."))
        if (given.get("quiet_from") is None) != (given.get("quiet_to") is None):
            self.add_error("quiet_to", _("Quiet hours have a beginning and an end."))
        return given

    @property
    def limits(self) -> dict[str, float | None]:
        return {
            metric.value: self.cleaned_data[metric.value]
            for metric in Metric
            if self.cleaned_data[f"{metric}_on"]
        }

    @property
    def quiet(self) -> tuple[int, int] | None:
        start, end = self.cleaned_data["quiet_from"], self.cleaned_data["quiet_to"]
        return None if start is None or end is None else (start, end)

    @property
    def rows(self) -> list[tuple[forms.BoundField, forms.BoundField]]:
        """(checkbox, limit) of each metric."""
        return [(self[f"{metric}_on"], self[metric.value]) for metric in Metric]
