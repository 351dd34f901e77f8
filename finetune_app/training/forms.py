"""The settings drawer of the launch page: every automatic setting can be changed."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from finetune_app.basemodels.automatic_settings import FULL, LORA, QLORA

TUNINGS = {
    LORA: _("a small part beside it (LoRA)"),
    QLORA: _("a small part beside it, itself held in 4 bits (QLoRA)"),
    FULL: _("all of it (full fine-tuning)"),
}


class SettingsForm(forms.Form):
    """Settings that replace automatic ones. An empty field means automatic."""

    tuning = forms.ChoiceField(
        label=_("How much of the model changes"),
        required=False,
        choices=list(TUNINGS.items()),
    )
    epochs = forms.IntegerField(
        label=_("Passes over the examples (epochs)"), min_value=1, max_value=50, required=False
    )
    learning_rate = forms.FloatField(
        label=_("Learning rate"),
        min_value=1e-6,
        max_value=1e-2,
        required=False,
        widget=forms.NumberInput(attrs={"step": "any"}),
    )
    batch_size = forms.IntegerField(
        label=_("Examples per step (batch size)"), min_value=1, max_value=128, required=False
    )
    rank = forms.IntegerField(
        label=_("Size of the adapter (LoRA rank)"), min_value=1, max_value=256, required=False
    )
    max_tokens = forms.IntegerField(
        label=_("Longest example, in tokens"), min_value=16, max_value=32_768, required=False
    )
    replay_share = forms.FloatField(
        label=_("Everyday conversation among the examples (0 to 0.5; 0 is none)"),
        min_value=0,
        max_value=0.5,
        required=False,
        widget=forms.NumberInput(attrs={"step": "any"}),
    )
    beta = forms.FloatField(
        label=_("How closely it stays to where it starts (beta)"),
        min_value=0.01,
        max_value=2,
        required=False,
        widget=forms.NumberInput(attrs={"step": "any"}),
    )
    seed = forms.IntegerField(
        label=_("Seed of the shuffle"), min_value=0, max_value=2**31 - 1, required=False
    )
    number_format = forms.ChoiceField(
        label=_("Number format"),
        required=False,
        choices=[
            ("auto", _("automatic: whichever is faster here")),
            ("bf16", "bf16"),
            ("fp32", "fp32"),
        ],
    )

    def __init__(self, *args: Any, automatic: Mapping[str, Any], **kwargs: Any) -> None:
        kwargs.setdefault("initial", automatic)
        super().__init__(*args, **kwargs)
        if "beta" not in automatic:  # a setting of preference tuning alone
            del self.fields["beta"]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        rank = cleaned.get("rank")
        if cleaned.get("tuning") == FULL and rank not in (None, self.initial.get("rank")):
            self.add_error(
                "rank", _("There is no adapter where all of the model changes. Empty this field.")
            )
        return cleaned

    def chosen(self) -> dict[str, Any]:
        """The settings that differ from the automatic values shown, and are not empty."""
        return {
            name: value
            for name, value in self.cleaned_data.items()
            if value not in (None, "", self.initial.get(name))
        }
