"""The form that makes a sheet: the prompts, and who answers them."""

from dataclasses import replace
from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _l

from finetune_app.evaluation.candidate_selection import PROMPT, CandidateOption
from finetune_app.evaluation.forms import StartForm
from finetune_app.evaluation.prompt_baseline import BaselinePrompt
from finetune_app.prompt_sheets.limits import (
    MAX_CANDIDATES,
    MAX_FILE_BYTES,
    MAX_PROMPTS,
    MIN_CANDIDATES,
)
from finetune_app.prompt_sheets.prompt_files import ACCEPT, read_file, read_lines

BASE = "base"  # the key of the base model's option


class NewSheetForm(StartForm):
    """The choice of an evaluation, the base model included, and the prompts."""

    file_name = ""
    text = forms.CharField(
        label=_l("Your prompts, one a line"),
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 8}),
    )
    file = forms.FileField(
        label=_l("Or drop a file of prompts here"),
        help_text=format_lazy(
            _l(
                "Text with a prompt a line, CSV with a column “prompt”, or JSON lines; {n} prompts "
                "at most. In the last two a prompt may have several lines."
            ),
            n=MAX_PROMPTS,
        ),
        required=False,
        allow_empty_file=True,
        max_length=None,
        widget=forms.FileInput(attrs={"accept": ACCEPT}),
    )

    def __init__(
        self,
        *args: Any,
        default_prompt: BaselinePrompt,
        options: list[CandidateOption],
        base_name: str,
        **kwargs: Any,
    ) -> None:
        base = CandidateOption(BASE, _("Base model"), base_name)
        super().__init__(
            *args,
            default_prompt=default_prompt,
            options=[base, *(_about_own_prompts(one) for one in options)],
            **kwargs,
        )

    @property
    def from_page(self) -> bool:
        return True

    def clean_text(self) -> list[str]:
        return read_lines(self.cleaned_data["text"])

    def clean_file(self) -> list[str]:
        file: UploadedFile[Any] | None = self.cleaned_data["file"]
        if file is None:
            return []
        if (file.size or 0) > MAX_FILE_BYTES:
            raise forms.ValidationError(
                _("This file has more than %(n)d MB. Leave some prompts out.")
                % {"n": MAX_FILE_BYTES // 1024**2}
            )
        self.file_name = file.name or ""
        return read_file(self.file_name, file.read())

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if "text" in data and "file" in data:
            if data["text"] and data["file"]:
                self.add_error("file", _("Paste prompts or choose a file, not both."))
            elif not data["text"] and not data["file"]:
                self.add_error("text", _("Paste some prompts here, or choose a file."))
        keys = self.option_keys()
        if not MIN_CANDIDATES <= len(keys) <= MAX_CANDIDATES:
            self.add_error(
                None,
                _("Choose %(min)d to %(max)d: more do not fit beside each other.")
                % {"min": MIN_CANDIDATES, "max": MAX_CANDIDATES},
            )
        told = data.get("instructions", "").strip() or self.default_prompt.shots
        if PROMPT in keys and not told:
            self.add_error("instructions", _("Write what it is told, or leave that one out."))
        return data

    @property
    def prompts(self) -> list[str]:
        """Of a valid form."""
        found: list[str] = self.cleaned_data["text"] or self.cleaned_data["file"]
        return found

    @property
    def name(self) -> str:
        """Of the file; of pasted prompts, the beginning of the first."""
        return self.file_name or self.prompts[0]


def _about_own_prompts(option: CandidateOption) -> CandidateOption:
    if option.is_remote:
        return replace(option, why=_("Answers elsewhere: these prompts are sent to it"))
    return option
