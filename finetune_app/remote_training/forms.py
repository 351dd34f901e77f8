"""Forms: an account on a platform, and what is trained there."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.translation import gettext_lazy as _

from finetune_app.basemodels.automatic_settings import SUPERVISED
from finetune_app.providers import service_account
from finetune_app.providers.forms import (
    PLAIN,
    allowed_address,
    name_field,
    price_field,
    usable_key,
)
from finetune_app.remote_training.models import PlatformAccount
from finetune_app.remote_training.platform_kinds import (
    FIREWORKS,
    OPENAI,
    TOGETHER,
    VERTEX,
    PlatformKind,
)
from finetune_app.remote_training.services import DEFAULT_EPOCHS

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

OPENAI_ADDRESS = "https://api.openai.com/v1"


class SecretTextarea(forms.Textarea):
    """Like a field for passwords, it does not come back with what was typed."""

    def format_value(self, value: Any) -> None:
        return None


def service_account_field() -> forms.CharField:
    return forms.CharField(
        label=_("Key of the service account"),
        max_length=20_000,
        help_text=_(
            "The whole JSON file. The account needs the roles “Vertex AI User” and, for the "
            "bucket, “Storage Object Admin”. Tried once, kept encrypted and never shown again."
        ),
        error_messages={"required": _("Paste the key of the service account.")},
        widget=SecretTextarea(attrs=PLAIN | {"rows": 6, "class": "model"}),
    )


def pattern_field(
    label: "StrPromise", help_text: "StrPromise", pattern: str, wrong: "StrPromise"
) -> forms.RegexField:
    return forms.RegexField(
        f"^{pattern}$",
        label=label,
        help_text=help_text,
        error_messages={"invalid": wrong, "required": wrong},
        widget=forms.TextInput(attrs=PLAIN),
    )


class ChangeForm(forms.Form):
    """The fields that can be changed later."""

    key = forms.CharField(
        label=_("Key"),
        max_length=500,
        help_text=_("Tried once, kept encrypted and never shown again."),
        error_messages={"required": _("Enter the key of the account.")},
        widget=forms.PasswordInput(attrs=PLAIN | {"autocomplete": "new-password"}),
    )
    price = price_field(
        _("Price of a million training tokens"),
        _(
            "From the platform's price list, of the dearest model that you train here. "
            "Leave it empty if you do not know it."
        ),
    )
    spending_cap = forms.DecimalField(
        label=_("Most to spend in a month"),
        help_text=_("In the same currency. Nothing starts that could cost more."),
        max_digits=12,
        decimal_places=2,
        required=False,
        min_value=Decimal("0.01"),
    )

    def __init__(
        self,
        *args: Any,
        kind: PlatformKind,
        account: PlatformAccount | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.kind = kind
        if kind.name == VERTEX:
            self.fields["key"] = service_account_field()
        if account:
            self.fields["key"].required = False
            self.fields["key"].help_text = _("A key is stored. Type another to replace it.")

    def clean_key(self) -> str:
        if self.kind.name != VERTEX or not self.cleaned_data["key"]:
            return usable_key(self.cleaned_data["key"])
        try:
            return service_account.read_key(self.cleaned_data["key"])
        except ValueError as problem:
            raise forms.ValidationError(str(problem)) from None

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("spending_cap") and not data.get("price") and "price" not in self.errors:
            self.add_error("price", _("A cap needs the price: without it no cost can be told."))
        return data


class AccountForm(ChangeForm):
    """A new account on a platform with a known address that needs a name and a key."""

    name = name_field()
    field_order = ["name", "key"]

    def __init__(self, *args: Any, kind: PlatformKind, **kwargs: Any) -> None:
        super().__init__(*args, kind=kind, **kwargs)
        self.fields["name"].initial = kind.label

    @property
    def asked(self) -> list[forms.BoundField]:
        """The fields above those about money."""
        return [field for field in self if field.name not in ("price", "spending_cap")]

    @property
    def url(self) -> str:
        return self.kind.address

    @property
    def options(self) -> dict[str, str]:
        """What this platform needs beside, as its module in `platforms/` takes it."""
        return {}

    def given(self) -> dict[str, Any]:
        """Arguments of services.connect_account."""
        common = ("name", "key", "price", "spending_cap")
        return {name: self.cleaned_data[name] for name in common} | {
            "platform": self.kind.name,
            "url": self.url,
            "options": self.options,
        }


class OpenAIForm(AccountForm):
    """Any service with OpenAI's API: its address is asked for."""

    address = forms.CharField(
        label=_("Address of its API"),
        max_length=300,
        initial=OPENAI_ADDRESS,
        help_text=_(
            "OpenAI's, another Finetune's (its address with /v1), or that of any service with "
            "OpenAI's fine-tuning API."
        ),
        error_messages={"required": _("Enter its address.")},
        widget=forms.TextInput(attrs=PLAIN | {"inputmode": "url"}),
    )
    field_order = ["address", "name", "key"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].initial = None

    def clean_address(self) -> str:
        return allowed_address(self.cleaned_data["address"])

    @property
    def url(self) -> str:
        return str(self.cleaned_data["address"])


class FireworksForm(AccountForm):
    account = pattern_field(
        _("Account"),
        _("Its id there, such as kettle-lane."),
        r"[a-z0-9][a-z0-9-]{0,62}",
        _("Enter the account's id as its page shows it: small letters, digits and hyphens."),
    )
    field_order = ["name", "account", "key"]

    @property
    def options(self) -> dict[str, str]:
        return {"account": self.cleaned_data["account"]}


class VertexForm(AccountForm):
    project = pattern_field(
        _("Project"),
        _("Its id on Google Cloud, such as support-tuning-4711."),
        r"[a-z][a-z0-9-]{4,28}[a-z0-9]",
        _("The id of a project has 6 to 30 small letters, digits and hyphens."),
    )
    region = pattern_field(
        _("Region"),
        _("Where it trains and answers, such as us-central1 or europe-west4."),
        r"[a-z]{2,20}-[a-z]{2,20}[0-9]{1,2}",
        _("A region looks like us-central1."),
    )
    bucket = pattern_field(
        _("Bucket"),
        _("In Cloud Storage, in the same region. The examples lie there while it trains."),
        r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]",
        _("The name of a bucket has 3 to 63 small letters, digits, dots and hyphens."),
    )
    field_order = ["name", "project", "region", "bucket", "key"]

    @property
    def url(self) -> str:
        return self.kind.address.format(region=self.cleaned_data["region"])

    @property
    def options(self) -> dict[str, str]:
        return {name: self.cleaned_data[name] for name in ("project", "region", "bucket")}


FORMS = {OPENAI: OpenAIForm, TOGETHER: AccountForm, FIREWORKS: FireworksForm, VERTEX: VertexForm}


def account_form(kind: PlatformKind) -> type[AccountForm]:
    return FORMS[kind.name]


class LaunchForm(forms.Form):
    """`agreed` is what was shown beside the checkbox (services.Quote.agreement), `after` the number
    of the goal's last training then."""

    model = forms.CharField(
        label=_("Model to start from"),
        max_length=200,
        error_messages={"required": _("Enter the model's name there.")},
        widget=forms.TextInput(attrs=PLAIN),
    )
    method = forms.CharField(widget=forms.HiddenInput, initial=SUPERVISED, required=False)
    agreed = forms.CharField(widget=forms.HiddenInput, required=False)
    after = forms.IntegerField(widget=forms.HiddenInput, required=False, min_value=0)
    personal = forms.BooleanField(
        label=_("They may have it: nobody has to be asked, or everybody was"), required=False
    )
    consent = forms.BooleanField(
        label=_("I agree to this for the team"),
        error_messages={"required": _("Nothing is sent there until you agree.")},
    )

    def __init__(
        self, *args: Any, kind: PlatformKind, has_personal_data: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.fields["model"].help_text = _("Its name there, such as %(model)s.") % {
            "model": kind.model
        }
        self.fields["epochs"] = forms.IntegerField(
            label=_("Passes over the examples"),
            initial=DEFAULT_EPOCHS,
            min_value=1,
            max_value=kind.most_epochs,
            help_text=_("Each one costs the same. Three are usual."),
        )
        if has_personal_data:
            self.fields["personal"].required = True
            self.fields["personal"].error_messages["required"] = _(
                "Hide the personal data in step 2 and freeze a new version, or say that it may be "
                "sent."
            )
        else:
            del self.fields["personal"]
