"""The fair rival: what the base model is told before it is compared."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from finetune_app.evaluation.rival import FairPrompt


class StartForm(forms.Form):
    """Without a word from the person the rival gets our own best prompt."""

    with_prompt = forms.BooleanField(
        label=_("Also compare with the base model and a good prompt"), required=False, initial=True
    )
    instructions = forms.CharField(
        label=_("What the base model is told"), required=False, max_length=20_000,
        widget=forms.Textarea(attrs={"rows": 6}),
    )

    def __init__(self, *args: Any, fair: FairPrompt, **kwargs: Any) -> None:
        kwargs.setdefault("initial", {"instructions": fair.instructions, "with_prompt": True})
        super().__init__(*args, **kwargs)
        self.fair = fair

    @property
    def from_page(self) -> bool:
        """Sent from the launch page, and not by a bare click on Evaluate elsewhere."""
        return "from_page" in self.data

    def rival(self) -> tuple[str, list[dict[str, str]]]:
        """(instructions, shots) of the rival. A bare click on Evaluate means ours; unticking
        the box on the launch page means none: ("", [])."""
        asked = self.from_page
        if asked and not self.cleaned_data["with_prompt"]:
            return "", []
        written = self.cleaned_data["instructions"].strip()
        return (written if asked else self.fair.instructions), self.fair.shots
