"""Which candidates take part in an evaluation, and the prompt of the baseline."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from finetune_app.evaluation.candidate_selection import CandidateOption
from finetune_app.evaluation.prompt_baseline import BaselinePrompt


class StartForm(forms.Form):
    """Without `from_page` (a button on another page), the default candidates and prompt apply."""

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
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("initial", {"instructions": default_prompt.instructions})
        super().__init__(*args, **kwargs)
        self.default_prompt, self.options = default_prompt, options
        if fresh_prompts:
            self.fields["prompts"] = forms.ChoiceField(
                label=_("Which prompts"),
                choices=[
                    (
                        "fresh",
                        ngettext(
                            "The fresh one\nnobody has seen a result on it",
                            "The %(n)d fresh ones\nnobody has seen results on them",
                            fresh_prompts,
                        )
                        % {"n": fresh_prompts},
                    ),
                    ("all", _("The whole test set\nas in the tests before")),
                ],
                initial="fresh",
                required=False,
                widget=forms.RadioSelect,
            )
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

    def prompt(self) -> BaselinePrompt:
        """The prompt of the baseline."""
        if not self.from_page:
            return self.default_prompt
        return BaselinePrompt(self.cleaned_data["instructions"].strip(), self.default_prompt.shots)
