"""Settings of a public chat page."""

import re

from django import forms
from django.utils.translation import gettext_lazy as _

from finetune_app.playground.models import PublicChat

ORIGIN = re.compile(
    r"https://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?"
    r"|http://(localhost|127\.0\.0\.1)(:[0-9]{1,5})?"
)
MAX_ORIGINS = 10


class PublicChatForm(forms.Form):
    """Settings of the public chat page of a deployment."""

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
            "What visitors read before they ask. Say what it can help with, and that it can "
            "be wrong."
        ),
    )
    origins = forms.CharField(
        label=_("Sites that may show it"),
        required=False,
        strip=True,
        widget=forms.Textarea(attrs={"rows": 2, "placeholder": "https://www.shop.example"}),
        help_text=_(
            "One a line, as in the address bar but without a path. Empty: no site may show it."
        ),
    )
    questions_per_minute = forms.IntegerField(
        label=_("Questions a minute from one visitor"), min_value=1, max_value=60, initial=6
    )
    questions_per_day = forms.IntegerField(
        label=_("Questions a day from all visitors together"),
        min_value=1,
        max_value=100_000,
        initial=300,
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
        if len(found) > MAX_ORIGINS:
            raise forms.ValidationError(_("At most %(n)d sites.") % {"n": MAX_ORIGINS})
        return list(dict.fromkeys(found))
