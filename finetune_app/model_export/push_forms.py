"""The form that pushes a tuned model to the hub."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from finetune_app.basemodels.models import HubToken
from finetune_app.model_export.licences import LicenceTerms, Rule
from finetune_app.model_export.pushing import NAME


class PushForm(forms.Form):
    """namespace: of those that the team's token belongs to. may_publish: an owner; what is public
    cannot be taken back."""

    namespace = forms.ChoiceField(label=_("Account on the hub"))
    name = forms.CharField(
        label=_("Name of the repository"),
        max_length=96,
        help_text=_("Letters, digits, “-”, “_” and “.”. Everybody who may see it sees the name."),
        error_messages={"required": _("Enter a name.")},
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    public = forms.BooleanField(
        label=_("Let everybody see and download it"),
        required=False,
        help_text=_(
            "Left empty, only the account sees it. What a model has learned can be asked out of "
            "it, and what was public once cannot be taken back."
        ),
    )
    agreed = forms.BooleanField(
        label=_("I have read the licence, and keep to it"),
        error_messages={"required": _("Read the licence of the base model, then say so.")},
    )

    def __init__(
        self, *args: Any, token: HubToken, terms: LicenceTerms, may_publish: bool, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.fields["namespace"].choices = [(one, one) for one in token.namespaces]  # type: ignore[attr-defined]
        if terms.rule == Rule.FREE:
            del self.fields["agreed"]
        if not may_publish:
            del self.fields["public"]

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"].strip()
        if not NAME.fullmatch(name) or "--" in name or ".." in name:
            raise forms.ValidationError(
                _("A name has letters, digits, “-”, “_” and “.”, at most 96.")
            )
        return name
