"""Forms to create, change and rotate API keys."""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from finetune_app.accounts.models import Team
from finetune_app.api_keys.models import (
    ACTIONS,
    DEFAULT_DAYS,
    DEFAULT_REQUESTS_PER_MINUTE,
    DEFAULT_ROTATION_HOURS,
    DEFAULT_TOKENS_PER_MINUTE,
    ApiKey,
)
from finetune_app.deployment.currencies import CURRENCY_SIGNS
from finetune_app.deployment.models import Deployment

LIFETIMES = [(30, _("30 days")), (365, _("a year")), ("", _("as long as nobody revokes it"))]


class LimitsForm(forms.Form):
    """Actions and limits of a key."""

    actions = forms.MultipleChoiceField(
        label=_("What may it do?"),
        choices=ACTIONS.items(),
        initial=list(ACTIONS),
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": _("Choose at least one, or revoke the key.")},
    )
    requests_per_minute = forms.IntegerField(
        label=_("Requests a minute, at most"),
        min_value=1,
        max_value=100_000,
        initial=DEFAULT_REQUESTS_PER_MINUTE,
    )
    tokens_per_minute = forms.IntegerField(
        label=_("Tokens a minute, at most"),
        min_value=1,
        max_value=100_000_000,
        initial=DEFAULT_TOKENS_PER_MINUTE,
        help_text=_("Read and written together; a page of text is about 500."),
    )
    tokens_per_month = forms.IntegerField(
        label=_("Tokens a month, at most"),
        required=False,
        min_value=1,
        max_value=10**12,
        help_text=_(
            "Once they are used up, the key is refused until the next month. Empty: no such limit."
        ),
    )
    cost_per_month = forms.DecimalField(
        label=_("Cost a month, at most"),
        required=False,
        min_value=Decimal("0.01"),
        max_digits=10,
        decimal_places=2,
        help_text=_("Counts for deployments whose price is set. Empty: no such limit."),
    )
    currency = forms.ChoiceField(
        label=_("Currency"),
        choices=[(one, one) for one in CURRENCY_SIGNS],
        required=False,
        help_text=_("Of that cost."),
    )

    def clean_currency(self) -> str:
        return str(self.cleaned_data["currency"] or "EUR")


END_OF_DAY = time(23, 59, 59)


class ChangeKeyForm(LimitsForm):
    """The limits and the expiry of an existing key."""

    expires_on = forms.DateField(
        label=_("It works until"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text=_("To the end of that day (UTC). Empty: as long as nobody revokes it."),
    )

    def __init__(self, data: Any = None, *, key: ApiKey) -> None:
        self.key = key
        current = {name: getattr(key, name) for name in LimitsForm.base_fields}
        ends = key.expires_at.date().isoformat() if key.expires_at else None
        super().__init__(data, initial=current | {"expires_on": ends})

    def clean_expires_on(self) -> date | None:
        day: date | None = self.cleaned_data["expires_on"]
        if day and day < timezone.now().date() and not self._is_unchanged(day):
            raise forms.ValidationError(
                _("That day is over. Choose a later one, or revoke the key to end it now.")
            )
        return day

    @property
    def changes(self) -> dict[str, object]:
        """Fields of the row to change. If the day is unchanged, so is the exact time of expiry."""
        given = dict(self.cleaned_data)
        day: date | None = given.pop("expires_on")
        if not self._is_unchanged(day):
            given["expires_at"] = datetime.combine(day, END_OF_DAY, UTC) if day else None
        return given

    def _is_unchanged(self, day: date | None) -> bool:
        return day == (self.key.expires_at.date() if self.key.expires_at else None)


class DeploymentKeyForm(forms.Form):
    """A new key for one deployment, on its page; limits can be changed later."""

    name = forms.CharField(
        label=_("What is it for?"),
        max_length=60,
        widget=forms.TextInput(attrs={"placeholder": _("the mailbox")}),
    )
    days = forms.TypedChoiceField(
        label=_("It works for"),
        coerce=int,
        empty_value=None,
        required=False,
        initial=DEFAULT_DAYS,
        choices=LIFETIMES,
    )
    requests_per_minute = forms.IntegerField(
        label=_("Requests a minute, at most"),
        min_value=1,
        max_value=100_000,
        initial=DEFAULT_REQUESTS_PER_MINUTE,
    )


class TeamKeyForm(LimitsForm):
    """A new key on the page of the team's keys."""

    name = DeploymentKeyForm.base_fields["name"]
    deployment = forms.ModelChoiceField(
        label=_("What does it open?"),
        queryset=Deployment.objects.none(),
        required=False,
        empty_label=_("everything of the team"),
    )
    days = DeploymentKeyForm.base_fields["days"]

    def __init__(self, *args: Any, team: Team, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["deployment"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = Deployment.objects.filter(team=team).order_by("name")


class RotateForm(forms.Form):
    """How long the previous secret works after a rotation."""

    hours = forms.TypedChoiceField(
        label=_("The old secret keeps working for"),
        coerce=int,
        initial=DEFAULT_ROTATION_HOURS,
        choices=[
            (0, _("not a moment longer")),
            (1, _("an hour")),
            (24, _("a day")),
            (168, _("a week")),
        ],
    )
