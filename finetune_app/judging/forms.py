"""The form that asks a judge."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from finetune_app.judging.judge_selection import JudgeOption

MAX_RUBRIC_CHARS = 5_000


class AskForm(forms.Form):
    judge = forms.ChoiceField(
        label=_("Which model judges"),
        widget=forms.RadioSelect,
        error_messages={"required": _("Choose which model should judge.")},
    )
    rubric = forms.CharField(
        label=_("What makes an answer good"),
        help_text=_("In plain words, as for a new colleague. The judge knows nothing else."),
        max_length=MAX_RUBRIC_CHARS,
        widget=forms.Textarea(attrs={"rows": 7}),
        error_messages={"required": _("Say in plain words what makes an answer good.")},
    )
    consent = forms.BooleanField(label=_("I agree to this for the team"), required=False)

    def __init__(self, *args: Any, options: list[JudgeOption], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.options = {one.key: one for one in options if not one.why_not}
        field: forms.ChoiceField = self.fields["judge"]  # type: ignore[assignment]
        field.choices = [(key, f"{one.label}\n{one.detail}") for key, one in self.options.items()]
        if len(self.options) == 1:
            field.initial = next(iter(self.options))

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        judge = self.options.get(data.get("judge", ""))
        if judge and judge.is_remote and not data.get("consent"):
            self.add_error("consent", _("Nothing is sent there until you agree."))
        return data

    @property
    def option(self) -> JudgeOption:
        """The judge of a valid form."""
        return self.options[self.cleaned_data["judge"]]
