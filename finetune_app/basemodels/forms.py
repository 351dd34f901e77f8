"""Forms to install a model and to store the hub token for gated models."""

from pathlib import Path

from django import forms
from django.utils.translation import gettext_lazy as _

from finetune_app.basemodels.services import HUB_ID


class InstallForm(forms.Form):
    source = forms.CharField(
        label=_("Hub id, or a folder on this machine"),
        max_length=300,
        help_text=_(
            "Like “organisation/model”, or the full path of a folder that holds config.json and "
            "safetensors."
        ),
        error_messages={"required": _("Enter the hub id or folder of a model.")},
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    revision = forms.RegexField(
        r"^[0-9a-f]{40}$", required=False, widget=forms.HiddenInput
    )  # of a search result
    licence_accepted = forms.BooleanField(
        label=_("I have read the model's licence and accept it"),
        required=True,
        error_messages={"required": _("Read the licence and accept it first.")},
    )

    def clean_source(self) -> str:
        """An absolute path, or a hub id."""
        source: str = self.cleaned_data["source"].strip()
        if Path(source).is_absolute():
            return str(Path(source))
        if not HUB_ID.fullmatch(source) or ".." in source:
            raise forms.ValidationError(
                _("A hub id looks like “organisation/model”; a folder begins with “/”.")
            )
        return source


class SearchForm(forms.Form):
    q = forms.CharField(
        label=_("Part of a model's name"),
        max_length=100,
        help_text=_("Like “qwen 1.5b instruct”. What you type is sent to the hub."),
        error_messages={"required": _("Enter a part of a model's name.")},
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "spellcheck": "false", "type": "search"}
        ),
    )


class TokenForm(forms.Form):
    token = forms.CharField(
        label=_("Access token of the model hub"),
        required=False,
        max_length=300,
        help_text=_(
            "For models whose maker asks for an account. Kept encrypted and never shown again. "
            "Leave it empty to delete it."
        ),
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
    )

    def clean_token(self) -> str:
        """Raises ValidationError unless the token is visible ASCII, as an HTTP header needs."""
        token: str = self.cleaned_data["token"].strip()
        if token and not (token.isascii() and token.isprintable() and " " not in token):
            raise forms.ValidationError(
                _("A token has only letters, digits and signs. Copy it again from the hub.")
            )
        return token
