"""The form that has a training done on Hugging Face Jobs."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from finetune_app.basemodels.models import HubToken
from finetune_app.hub_training.hardware import Machine
from finetune_app.hub_training.services import MAX_HOURS

DEFAULT_HOURS = 2


class LaunchForm(forms.Form):
    """`agreed` is what was shown beside the checkbox (services.Quote.agreement)."""

    flavor = forms.ChoiceField(label=_("Machine there"))
    hours = forms.IntegerField(
        label=_("Hours until it is ended"),
        initial=DEFAULT_HOURS,
        min_value=1,
        max_value=MAX_HOURS,
        help_text=_("You pay the minutes that it runs. What is not done by then is lost."),
    )
    namespace = forms.ChoiceField(label=_("Account that pays"))
    agreed = forms.CharField(widget=forms.HiddenInput, required=False)
    personal = forms.BooleanField(
        label=_("They may have it: nobody has to be asked, or everybody was"), required=False
    )
    consent = forms.BooleanField(
        label=_("I agree to this for the team"),
        error_messages={"required": _("Nothing is sent there until you agree.")},
    )

    def __init__(
        self,
        *args: Any,
        token: HubToken,
        machines: list[Machine],
        has_personal_data: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.fields["namespace"].choices = [(one, one) for one in token.namespaces]  # type: ignore[attr-defined]
        self.fields["flavor"].choices = [  # type: ignore[attr-defined]
            (one.flavor, f"{one.words}: {one.price * 60:.2f} $ {_('an hour')}") for one in machines
        ]
        if has_personal_data:
            self.fields["personal"].required = True
            self.fields["personal"].error_messages["required"] = _(
                "Hide the personal data in step 2, or say that it may be sent."
            )
        else:
            del self.fields["personal"]
