"""Forms to write an example by hand and to move one to another split."""

from itertools import count, takewhile
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _l

from finetune_app.core.chat_messages import Message
from finetune_app.core.errors import PlainError
from finetune_app.datasets import conversation_form
from finetune_app.datasets.models import Split
from finetune_app.datasets.text import newlines


class WriteForm(forms.Form):
    """One example by hand: the prompt and the answer.

    Optional fields come before them: instructions, and earlier turns as turn-0, turn-1 and so on.
    """

    prompt = forms.CharField(
        label=_l("When somebody writes"), strip=False, widget=forms.Textarea(attrs={"rows": 5})
    )
    answer = forms.CharField(
        label=_l("it should answer"),
        strip=False,
        required=False,
        help_text=_l("Leave it empty to keep a draft."),
        widget=forms.Textarea(attrs={"rows": 5}),
    )

    def __init__(self, data: QueryDict | None = None, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        given = self.initial if data is None else data
        before = {}
        if conversation_form.INSTRUCTIONS in given:
            before[conversation_form.INSTRUCTIONS] = self._box(_("Instructions"))
        for place in takewhile(lambda place: f"turn-{place}" in given, count()):
            before[f"turn-{place}"] = self._box(_("Assistant") if place % 2 else _("Person"))
        self.fields = before | self.fields
        self.fields["prompt"].required = not self.several  # an empty turn is left out

    @staticmethod
    def _box(label: str) -> forms.CharField:
        area = forms.Textarea(attrs={"rows": 3})
        return forms.CharField(label=label, strip=False, required=False, widget=area)

    def with_added(self, what: str) -> "WriteForm":
        """An unvalidated form with added instructions or with one more turn."""
        given = {name: self.data.get(name, "") for name in self.fields}
        if what == conversation_form.INSTRUCTIONS:
            given.setdefault(what, "")
        elif what == conversation_form.TURN:
            place = sum(name.startswith("turn-") for name in self.fields)
            given |= {
                f"turn-{place}": given["prompt"],
                f"turn-{place + 1}": given["answer"],
                "prompt": "",
                "answer": "",
            }
        return WriteForm(initial=given)

    @property
    def several(self) -> bool:
        return "turn-0" in self.fields

    @property
    def has_instructions(self) -> bool:
        return conversation_form.INSTRUCTIONS in self.fields

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        try:
            self.turns = conversation_form.without_empty_turns(self._turns(given), [])
        except PlainError as error:
            raise forms.ValidationError(error.message) from error
        return given

    def _turns(self, given: dict[str, Any]) -> list[Message]:
        roles = {conversation_form.INSTRUCTIONS: "system", "prompt": "user", "answer": "assistant"}
        return [
            {
                "role": roles.get(name) or ("assistant" if int(name[5:]) % 2 else "user"),
                "content": newlines(given.get(name) or ""),
            }
            for name in self.fields
        ]

    def messages(self) -> list[Message]:
        return self.turns


class MoveForm(forms.Form):
    split = forms.ChoiceField(choices=Split.choices)
