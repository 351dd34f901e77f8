"""Forms for a remote model: its address, name, key and prices."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.translation import gettext_lazy as _

from finetune_app.core.errors import PlainError
from finetune_app.providers import guard
from finetune_app.providers.models import DEFAULT_CONTEXT, Endpoint
from finetune_app.providers.services import checked_address

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

PLAIN = {"autocomplete": "off", "spellcheck": "false", "autocapitalize": "none"}


def price_field(label: "StrPromise", help_text: "StrPromise") -> forms.DecimalField:
    return forms.DecimalField(
        label=label,
        help_text=help_text,
        max_digits=10,
        decimal_places=4,
        required=False,
        min_value=Decimal("0.0001"),
        error_messages={"min_value": _("Leave it empty if it costs nothing or you do not know.")},
    )


def name_field() -> forms.CharField:
    return forms.CharField(
        label=_("A name for it"),
        max_length=80,
        help_text=_("As your team will see it."),
        error_messages={"required": _("Give it a name.")},
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


def allowed_address(text: str) -> str:
    """The address as it is stored. Raises ValidationError."""
    try:
        return str(checked_address(text))
    except PlainError as problem:
        raise forms.ValidationError(problem.message) from None


def usable_key(text: str) -> str:
    """Raises ValidationError unless the key is visible ASCII, as an HTTP header needs."""
    key = text.strip()
    if key and not (key.isascii() and key.isprintable() and " " not in key):
        raise forms.ValidationError(_("A key has only letters, digits and signs. Copy it again."))
    return key


class AddressForm(forms.Form):
    url = forms.CharField(
        label=_("Address of its API"),
        max_length=300,
        help_text=_("As its provider gives it, like https://api.example.com/v1."),
        error_messages={"required": _("Enter its address.")},
        widget=forms.TextInput(attrs=PLAIN | {"inputmode": "url"}),
    )

    def clean_url(self) -> str:
        return allowed_address(self.cleaned_data["url"])


class ChangeForm(forms.Form):
    """The fields that can be changed later."""

    name = name_field()
    key = forms.CharField(
        label=_("Key"),
        required=False,
        max_length=500,
        help_text=_("Kept encrypted and never shown again. Some servers of your own need none."),
        widget=forms.PasswordInput(attrs=PLAIN | {"autocomplete": "new-password"}),
    )
    context = forms.IntegerField(
        label=_("Context length"),
        min_value=512,
        max_value=10_000_000,
        initial=DEFAULT_CONTEXT,
        help_text=_("In tokens (pieces of words): instructions, passages, question and answer."),
        widget=forms.NumberInput(attrs={"inputmode": "numeric"}),
    )
    price_in = price_field(
        _("Price of a million tokens in"),
        _("In your own currency. Leave it empty if you do not know it."),
    )
    price_out = price_field(_("Price of a million tokens out"), _("The same, for what it writes."))

    def __init__(self, *args: Any, endpoint: Endpoint | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if endpoint and endpoint.secret:
            self.fields["key"].help_text = _("A key is stored. Type another to replace it.")
            self.fields["forget_key"] = forms.BooleanField(
                label=_("Delete the key"), required=False
            )

    def clean_key(self) -> str:
        return usable_key(self.cleaned_data["key"])


class NewForm(AddressForm, ChangeForm):
    """All fields of a new remote model. `consent_to` is the host shown beside the checkbox."""

    model = forms.CharField(
        label=_("Model"),
        max_length=200,
        help_text=_("Its name there, as in the provider's list of models."),
        error_messages={"required": _("Enter the model's name.")},
        widget=forms.TextInput(attrs=PLAIN),
    )
    consent_to = forms.CharField(widget=forms.HiddenInput, required=False)
    consent = forms.BooleanField(
        label=_("I agree to this for the team"),
        required=True,
        error_messages={"required": _("Nothing is sent there until you agree.")},
    )
    field_order = ["url", "model", "name", "key"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["url"].widget = forms.HiddenInput()

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("url") and data.get("consent") and data.get("consent_to") != self.host:
            self.add_error(
                "consent", _("The address has changed. Read again where your data would go.")
            )
        return data

    @property
    def host(self) -> str:
        """Host of the address; "" while the address is not valid."""
        try:
            return guard.host_of(checked_address(str(self["url"].value() or "")))
        except PlainError:
            return ""
