"""Which candidates take part in an evaluation, the prompt of the baseline, the number format."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from finetune_app.core.engine_protocol import INT8
from finetune_app.evaluation.candidate_selection import CandidateOption
from finetune_app.evaluation.prompt_baseline import BaselinePrompt

AS_THEY_ARE = "as-they-are"


class StartForm(forms.Form):
    """Without `from_page` (a button on another page), the defaults apply: of candidates, prompt and
    number format.

    may_round: whether the weights may be rounded to 8 bits, and round_by_default: whether they are
    where nothing is chosen.
    """

    instructions = forms.CharField(
        label=_("What it is told first"),
        required=False,
        max_length=20_000,
        widget=forms.Textarea(attrs={"rows": 6}),
    )

    def __init__(
        self,
        *args: Any,
        default_prompt: BaselinePrompt,
        options: list[CandidateOption],
        fresh_prompts: int = 0,
        may_round: bool = False,
        round_by_default: bool = False,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("initial", {"instructions": default_prompt.instructions})
        super().__init__(*args, **kwargs)
        self.default_prompt, self.options = default_prompt, options
        self.round_by_default = may_round and round_by_default
        if fresh_prompts:
            self.fields["prompts"] = _prompts_field(fresh_prompts)
        if may_round:
            self.fields["weights"] = _weights_field(INT8 if round_by_default else AS_THEY_ARE)
        for option in options:
            self.fields[self.field_name(option)] = forms.BooleanField(
                label=option.label, required=False, initial=option.ticked, help_text=option.why
            )

    @staticmethod
    def field_name(option: CandidateOption) -> str:
        return f"with_{option.key}"

    @property
    def checkboxes(self) -> list[forms.BoundField]:
        """A checkbox for each option; none where there is only one."""
        return (
            [self[self.field_name(option)] for option in self.options] if self.options[1:] else []
        )

    @property
    def from_page(self) -> bool:
        """Whether it was sent from the launch page, and not by "Evaluate" on another page."""
        return "from_page" in self.data

    def option_keys(self) -> list[str]:
        """The keys of the options that take part."""
        if not self.from_page or not self.checkboxes:
            return [option.key for option in self.options if option.ticked]
        return [one.key for one in self.options if self.cleaned_data[self.field_name(one)]]

    @property
    def fresh_only(self) -> bool:
        """Whether only the prompts that nobody has looked at are asked."""
        return self.from_page and self.cleaned_data.get("prompts") == "fresh"

    @property
    def in_8_bits(self) -> bool:
        """Whether the weights of what answers here are rounded."""
        chosen = self.cleaned_data.get("weights")
        return chosen == INT8 if chosen else self.round_by_default

    def prompt(self) -> BaselinePrompt:
        """The prompt of the baseline."""
        if not self.from_page:
            return self.default_prompt
        return BaselinePrompt(self.cleaned_data["instructions"].strip(), self.default_prompt.shots)


def _prompts_field(fresh_prompts: int) -> forms.ChoiceField:
    fresh = ngettext(
        "The fresh one\nnobody has seen a result on it",
        "The %(n)d fresh ones\nnobody has seen results on them",
        fresh_prompts,
    )
    return forms.ChoiceField(
        label=_("Which prompts"),
        choices=[
            ("fresh", fresh % {"n": fresh_prompts}),
            ("all", _("The whole test set\nas in the tests before")),
        ],
        initial="fresh",
        required=False,
        widget=forms.RadioSelect,
    )


def _weights_field(initial: str) -> forms.ChoiceField:
    as_they_are = _(
        "Weights as they are\nin 16 or 32 bits, whichever is faster here; the closest to what was "
        "trained"
    )
    rounded = _(
        "Weights rounded to 8 bits\noften faster on this processor, most of all for few people at "
        "once; answers can differ a little, also in the chat and in what goes live after the test"
    )
    return forms.ChoiceField(
        label=_("The model's weights"),
        choices=[(AS_THEY_ARE, as_they_are), (INT8, rounded)],
        initial=initial,
        required=False,
        widget=forms.RadioSelect,
    )
