"""A new key."""

from django import forms
from django.utils.translation import gettext_lazy as _


class KeyForm(forms.Form):
    name = forms.CharField(
        label=_("What is it for?"), max_length=60,
        widget=forms.TextInput(attrs={"placeholder": _("the mailbox")}),
    )  # fmt: skip
    days = forms.TypedChoiceField(
        label=_("It works for"), coerce=int, empty_value=None, required=False, initial=365,
        choices=[(30, _("30 days")), (365, _("a year")), ("", _("as long as nobody revokes it"))],
    )  # fmt: skip
    requests_a_minute = forms.IntegerField(
        label=_("Requests a minute, at most"), min_value=1, max_value=100_000, initial=60
    )
