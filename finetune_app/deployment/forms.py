"""A new key, its limits, until when it works, and a new secret for it."""

import re
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from finetune_app.accounts.models import Team
from finetune_app.deployment.models import ACTIONS, ApiKey, Deployment, PublicChat
from finetune_app.deployment.monitoring.costs import SIGNS

DAYS = [(30, _("30 days")), (365, _("a year")), ("", _("as long as nobody revokes it"))]


class LimitsForm(forms.Form):
    """What a key may do, and how much."""

    actions = forms.MultipleChoiceField(
        label=_("What may it do?"),
        choices=ACTIONS.items(),
        initial=list(ACTIONS),
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": _("Choose at least one, or revoke the key.")},
    )
    requests_a_minute = forms.IntegerField(
        label=_("Requests a minute, at most"), min_value=1, max_value=100_000, initial=60
    )
    tokens_a_minute = forms.IntegerField(
        label=_("Tokens a minute, at most"),
        min_value=1,
        max_value=100_000_000,
        initial=100_000,
        help_text=_("Read and written together; a page of text is about 500."),
    )
    tokens_a_month = forms.IntegerField(
        label=_("Tokens a month, at most"),
        required=False,
        min_value=1,
        max_value=10**12,
        help_text=_("Used up, it is refused until the next month. Empty: no such limit."),
    )
    money_a_month = forms.DecimalField(
        label=_("Cost a month, at most"),
        required=False,
        min_value=Decimal("0.01"),
        max_digits=10,
        decimal_places=2,
        help_text=_("Counts for deployments whose price is set. Empty: no such limit."),
    )
    currency = forms.ChoiceField(
        label=_("Currency"),
        choices=[(one, one) for one in SIGNS],
        required=False,
        help_text=_("Of that cost."),
    )

    def clean_currency(self) -> str:
        return str(self.cleaned_data["currency"] or "EUR")


END_OF_DAY = time(23, 59, 59)


class ChangeKeyForm(LimitsForm):
    """A key that there is: its limits, and until when it works."""

    expires_on = forms.DateField(
        label=_("It works until"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text=_("To the end of that day (UTC). Empty: as long as nobody revokes it."),
    )

    def __init__(self, data: Any = None, *, key: ApiKey) -> None:
        self.key = key
        now = {name: getattr(key, name) for name in LimitsForm.base_fields}
        ends = key.expires_at.date().isoformat() if key.expires_at else None
        super().__init__(data, initial=now | {"expires_on": ends})

    def clean_expires_on(self) -> date | None:
        day: date | None = self.cleaned_data["expires_on"]
        if day and day < timezone.now().date() and not self._same(day):
            raise forms.ValidationError(
                _("That day is over. Choose a later one, or revoke the key to end it now.")
            )
        return day

    @property
    def changes(self) -> dict[str, Any]:
        """Fields of the row. A day that stays leaves the moment as it was, to the second."""
        given = dict(self.cleaned_data)
        day: date | None = given.pop("expires_on")
        if not self._same(day):
            given["expires_at"] = datetime.combine(day, END_OF_DAY, UTC) if day else None
        return given

    def _same(self, day: date | None) -> bool:
        return day == (self.key.expires_at.date() if self.key.expires_at else None)


class KeyForm(forms.Form):
    """A key for one deployment: the few questions that matter at first."""

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
        initial=365,
        choices=DAYS,
    )
    requests_a_minute = forms.IntegerField(
        label=_("Requests a minute, at most"), min_value=1, max_value=100_000, initial=60
    )


class TeamKeyForm(LimitsForm):
    name = KeyForm.base_fields["name"]
    deployment = forms.ModelChoiceField(
        label=_("What does it open?"),
        queryset=Deployment.objects.none(),
        required=False,
        empty_label=_("everything of the team"),
    )
    days = KeyForm.base_fields["days"]

    def __init__(self, *args: Any, team: Team, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["deployment"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = Deployment.objects.filter(team=team).order_by("name")


class RotateForm(forms.Form):
    hours = forms.TypedChoiceField(
        label=_("The old secret works on for"),
        coerce=int,
        initial=24,
        choices=[
            (0, _("not a moment longer")),
            (1, _("an hour")),
            (24, _("a day")),
            (168, _("a week")),
        ],
    )


ORIGIN = re.compile(
    r"https://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?"
    r"|http://(localhost|127\.0\.0\.1)(:[0-9]{1,5})?"
)
MOST_ORIGINS = 10


class PublicChatForm(forms.Form):
    """The page on which people talk to a deployment."""

    on = forms.BooleanField(label=_("Switch the page on"), required=False)
    audience = forms.ChoiceField(
        label=_("Who may open it?"), choices=PublicChat.Audience.choices, widget=forms.RadioSelect
    )
    title = forms.CharField(label=_("Title"), max_length=80)
    greeting = forms.CharField(
        label=_("Greeting"),
        max_length=600,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_(
            "What stands there before anybody asks. Say what it can help with, and that it "
            "can be wrong."
        ),
    )
    origins = forms.CharField(
        label=_("Sites that may show it"),
        required=False,
        strip=True,
        widget=forms.Textarea(attrs={"rows": 2, "placeholder": "https://www.shop.example"}),
        help_text=_("One a line, exactly as the address bar begins. Empty: no site may."),
    )
    a_minute = forms.IntegerField(
        label=_("Questions a minute, of one visitor"), min_value=1, max_value=60, initial=6
    )
    a_day = forms.IntegerField(
        label=_("Questions a day, of all together"), min_value=1, max_value=100_000, initial=300
    )

    def clean_origins(self) -> list[str]:
        found = [
            line.strip().rstrip("/").lower()
            for line in self.cleaned_data["origins"].splitlines()
            if line.strip()
        ]
        for one in found:
            if not ORIGIN.fullmatch(one):
                raise forms.ValidationError(
                    _(
                        "“%(one)s” is not the address of one site. Write it as "
                        "https://www.shop.example, without a path and without a star."
                    )
                    % {"one": one[:80]}
                )
        if len(found) > MOST_ORIGINS:
            raise forms.ValidationError(_("At most %(n)d sites.") % {"n": MOST_ORIGINS})
        return list(dict.fromkeys(found))
