"""What answering costs, and what is kept of it."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.translation import gettext_lazy as _

from finetune_app.deployment.currencies import CURRENCY_SIGNS
from finetune_app.deployment.models import Keeping

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise


def _price(label: "StrPromise", help_text: "StrPromise") -> forms.DecimalField:
    return forms.DecimalField(
        label=label,
        help_text=help_text,
        required=False,
        min_value=0,
        max_digits=12,
        decimal_places=4,
    )


class PriceForm(forms.Form):
    currency = forms.ChoiceField(
        label=_("Currency"),
        choices=[(one, one) for one in CURRENCY_SIGNS],
        help_text=_("Of all three prices."),
    )
    hour = _price(_("An hour of this machine"), _("Empty: not known."))
    read = _price(_("A million tokens read"), _("What it was asked, instructions included."))
    written = _price(_("A million tokens written"), _("What it answered."))


class KeepingForm(forms.Form):
    """What is kept of what people write; off unless somebody says otherwise."""

    on = forms.BooleanField(
        label=_("Keep what is asked and answered"),
        required=False,
        help_text=_(
            "Before it is written down, e-mail addresses, phone numbers, IBANs, card numbers, "
            "passwords and keys are taken out, and names where a greeting or a closing gives them "
            "away. Names in the middle of a sentence are not found."
        ),
    )
    told = forms.BooleanField(
        label=_("The people who write to it know that their texts are kept, and may be"),
        required=False,
    )
    percent = forms.IntegerField(
        label=_("Of 100 requests, keep"),
        min_value=1,
        max_value=100,
        initial=100,
        help_text=_("Which ones, chance decides."),
    )
    days = forms.IntegerField(
        label=_("Days until they are deleted"),
        min_value=1,
        max_value=365,
        initial=30,
        help_text=_("Counted from each request."),
    )
    least = forms.IntegerField(
        label=_("Unsure below (%)"),
        min_value=1,
        max_value=99,
        required=False,
        help_text=_("Needs logprobs. Empty: off."),
    )
    queues = forms.BooleanField(
        label=_("Put bad answers into the labelling queue by themselves"),
        required=False,
        help_text=_("Those that somebody found not helpful, and unsure ones."),
    )

    @classmethod
    def of(cls, kept: Keeping) -> dict[str, Any]:
        least = kept.least_confidence
        return {
            "on": kept.on,
            "told": kept.on,
            "percent": kept.percent,
            "days": kept.days,
            "queues": kept.queues,
            "least": None if least is None else round(100 * least),
        }

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        if given.get("on") and not given.get("told"):
            self.add_error("told", _("Tell them first: what people write is theirs."))
        return given

    def chosen(self) -> dict[str, Any]:
        """As keeping.change takes it."""
        given = self.cleaned_data
        least = given["least"]
        return {
            "on": given["on"],
            "percent": given["percent"],
            "days": given["days"],
            "queues": given["queues"],
            "least_confidence": None if least is None else least / 100,
        }
