"""Forms: what a team lets Hugging Face Jobs have, and a training there."""

from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from finetune_app.basemodels.forms import TokenForm
from finetune_app.basemodels.models import HubToken
from finetune_app.hub_training.hardware import Machine
from finetune_app.hub_training.models import HubJobsAccount
from finetune_app.hub_training.services import MAX_HOURS

DEFAULT_HOURS = 2


class AccountForm(TokenForm):
    spending_cap = forms.DecimalField(
        label=_("Most to spend in a month"),
        help_text=_("In dollars. Nothing starts that could cost more. Empty is no limit."),
        max_digits=12,
        decimal_places=2,
        required=False,
        min_value=Decimal("0.01"),
    )
    forget_token = forms.BooleanField(label=_("Give jobs the team's token again"), required=False)
    field_order = ["spending_cap", "token", "forget_token"]

    def __init__(self, *args: Any, account: HubJobsAccount, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["spending_cap"].initial = account.spending_cap
        self.fields["token"].label = _("Token for jobs")
        self.fields["token"].help_text = (
            _("One is stored. Type another to replace it.")
            if account.secret
            else _("Without one, a job gets your team's token. Kept encrypted, never shown again.")
        )
        if not account.secret:
            del self.fields["forget_token"]


class LaunchForm(forms.Form):
    """`agreed` is what was shown beside the checkbox (services.Quote.agreement), `after` the number
    of the goal's last training then."""

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
    after = forms.IntegerField(widget=forms.HiddenInput, required=False, min_value=0)
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
