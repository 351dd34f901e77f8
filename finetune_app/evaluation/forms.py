"""Who takes part in a test, and what the rival with a good prompt is told."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from finetune_app.evaluation.candidate_selection import PROMPT, CandidateOption
from finetune_app.evaluation.prompt_baseline import BaselinePrompt


class StartForm(forms.Form):
    """Without a word from the person all take part that cost nothing, with our best prompt."""

    instructions = forms.CharField(
        label=_("What it is told first"),
        required=False,
        max_length=20_000,
        widget=forms.Textarea(attrs={"rows": 6}),
    )

    def __init__(
        self, *args: Any, fair: BaselinePrompt, offers: list[CandidateOption], **kwargs: Any
    ) -> None:
        kwargs.setdefault("initial", {"instructions": fair.instructions})
        super().__init__(*args, **kwargs)
        self.fair, self.offers = fair, offers
        for offer in offers:
            self.fields[self.name_of(offer)] = forms.BooleanField(
                label=offer.label, required=False, initial=offer.ticked, help_text=offer.why
            )

    @staticmethod
    def name_of(offer: CandidateOption) -> str:
        return f"with_{offer.key}"

    @property
    def boxes(self) -> list[forms.BoundField]:
        """One for each who may take part, where there is a choice."""
        return [self[self.name_of(offer)] for offer in self.offers] if self.offers[1:] else []

    @property
    def from_page(self) -> bool:
        """Sent from the launch page, and not by a bare click on Evaluate elsewhere."""
        return "from_page" in self.data

    def keys(self) -> list[str]:
        """Of those who take part."""
        if not self.from_page or not self.boxes:
            return [offer.key for offer in self.offers if offer.ticked]
        return [one.key for one in self.offers if self.cleaned_data[self.name_of(one)]]

    def prompt(self) -> BaselinePrompt:
        """What the rival with a good prompt is told: ours after a bare click."""
        if not self.from_page:
            return self.fair
        return BaselinePrompt(self.cleaned_data["instructions"].strip(), self.fair.shots)

    def wants_prompt(self) -> bool:
        return PROMPT in self.keys()
