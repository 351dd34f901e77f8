"""Form for what is stored of requests."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from finetune_app.request_log.models import Retention
from finetune_app.request_log.retention import RetentionSettings


class RetentionForm(forms.Form):
    """What is stored of what people write. Off by default."""

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
        help_text=_("Chosen at random."),
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
        label=_("Put bad answers into the labelling queue automatically"),
        required=False,
        help_text=_("Those that somebody found not helpful, and unsure ones."),
    )

    @classmethod
    def initial_of(cls, retention: Retention) -> dict[str, object]:
        least = retention.least_confidence
        return {
            "on": retention.on,
            "told": retention.on,
            "percent": retention.percent,
            "days": retention.days,
            "queues": retention.queues,
            "least": None if least is None else round(100 * least),
        }

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        if given.get("on") and not given.get("told"):
            self.add_error("told", _("Tell them first: what people write is theirs."))
        return given

    @property
    def settings(self) -> RetentionSettings:
        given = self.cleaned_data
        least = given["least"]
        return {
            "on": given["on"],
            "percent": given["percent"],
            "days": given["days"],
            "queues": given["queues"],
            "least_confidence": None if least is None else least / 100,
        }
