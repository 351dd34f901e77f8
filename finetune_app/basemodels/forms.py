"""Which model, and what it takes to install another."""

from django import forms
from django.utils.translation import gettext_lazy as _


class InstallForm(forms.Form):
    source = forms.CharField(
        label=_("Hub id, or a folder on this machine"), max_length=300,
        help_text=_("Like “organisation/model”, or a folder that holds config.json and safetensors."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    licence_accepted = forms.BooleanField(
        label=_("I have read the model's licence and accept it"), required=True,
        error_messages={"required": _("Read the licence and accept it first.")},
    )


class TokenForm(forms.Form):
    token = forms.CharField(
        label=_("Access token of the model hub"), required=False, max_length=300,
        help_text=_("For models whose maker asks for an account. Kept encrypted, never shown again; "
                    "leave it empty to forget it."),
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
    )
