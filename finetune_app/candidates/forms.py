"""The form of the workbench: instructions, model and sampling settings."""

from typing import Any, TypedDict

from django import forms
from django.utils.translation import gettext_lazy as _

from finetune_app.basemodels.models import BaseModel
from finetune_app.basemodels.services import usable_by
from finetune_app.candidates.models import WorkbenchDraft
from finetune_app.candidates.specs import CandidateSampling
from finetune_app.providers.models import Endpoint

MAX_INSTRUCTION_CHARS = 20_000


class DraftFields(TypedDict, total=False):
    """Fields of a WorkbenchDraft that the form changes."""

    instructions: str
    base_model: BaseModel | None
    endpoint: Endpoint | None
    sampling: CandidateSampling


class DraftForm(forms.Form):
    """Valid fields are saved even when others are not, so that no typed text is lost."""

    instructions = forms.CharField(
        label=_("Instructions"),
        required=False,
        max_length=MAX_INSTRUCTION_CHARS,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 9}),
    )
    model = forms.ChoiceField(label=_("Which model answers"), required=False)
    temperature = forms.FloatField(
        label=_("Temperature"),
        required=False,
        min_value=0,
        max_value=2,
        help_text=_("0, or empty: always the likeliest word, so that a second try says the same."),
        widget=forms.NumberInput(attrs={"step": "0.1"}),
    )
    top_p = forms.FloatField(
        label=_("Top p"),
        required=False,
        min_value=0.05,
        max_value=1,
        help_text=_("Draw only from the likeliest words that together hold this share. Empty: 1."),
        widget=forms.NumberInput(attrs={"step": "0.05"}),
    )

    def __init__(self, *args: Any, draft: WorkbenchDraft, **kwargs: Any) -> None:
        kwargs["initial"] = {
            "instructions": draft.instructions,
            "model": model_value(draft),
            **draft.sampling,
        }
        super().__init__(*args, **kwargs)
        self.local = {f"base:{one.pk}": one for one in usable_by(draft.goal.team) if one.is_here}
        self.remote = {f"endpoint:{one.pk}": one for one in draft.goal.team.endpoints.all()}
        groups: list[Any] = []
        if self.local:
            groups.append((_("On this machine"), [(v, one.name) for v, one in self.local.items()]))
        if self.remote:
            groups.append((_("Elsewhere"), [(v, one.name) for v, one in self.remote.items()]))
        field: forms.ChoiceField = self.fields["model"]  # type: ignore[assignment]
        field.choices = groups

    def draft_fields(self) -> DraftFields:
        """The fields of the draft that were sent and are valid."""
        found: DraftFields = {}
        valid = self.cleaned_data
        if "instructions" in valid and "instructions" in self.data:
            found["instructions"] = valid["instructions"].replace("\r\n", "\n")
        if valid.get("model"):
            found["base_model"] = self.local.get(valid["model"])
            found["endpoint"] = self.remote.get(valid["model"])
        if {"temperature", "top_p"} <= valid.keys() and "temperature" in self.data:
            found["sampling"] = sampling(valid["temperature"], valid["top_p"])
        return found


def sampling(temperature: float | None, top_p: float | None) -> CandidateSampling:
    """CandidateSampling settings; empty for greedy decoding."""
    if not temperature:
        return {}
    if not top_p or top_p >= 1:
        return {"temperature": temperature}
    return {"temperature": temperature, "top_p": top_p}


def model_value(draft: WorkbenchDraft) -> str:
    if draft.endpoint_id:
        return f"endpoint:{draft.endpoint_id}"
    return f"base:{draft.base_model_id}" if draft.base_model_id else ""
