"""Form for what answering costs."""

from typing import TYPE_CHECKING

from django import forms
from django.utils.translation import gettext_lazy as _

from finetune_app.deployment.currencies import CURRENCY_SIGNS

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
