"""What people send: an example by hand, a name, how a table is written."""

from itertools import count, takewhile
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _l

from finetune_app.core.errors import PlainError
from finetune_app.core.text_formats import DELIMITERS, ENCODINGS
from finetune_app.datasets import conversation_form
from finetune_app.datasets.exporting import Layout
from finetune_app.datasets.models import Split, Version
from finetune_app.datasets.text import Message, newlines


class WriteForm(forms.Form):
    """One example by hand: what is asked and the answer; before them, where somebody wants that,
    instructions and the turns so far, as said-0, said-1 and so on."""

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
        for place in takewhile(lambda place: f"said-{place}" in given, count()):
            before[f"said-{place}"] = self._box(_("Assistant") if place % 2 else _("Person"))
        self.fields = before | self.fields
        self.fields["prompt"].required = not self.several  # an empty turn is left out

    @staticmethod
    def _box(label: str) -> forms.CharField:
        area = forms.Textarea(attrs={"rows": 3})
        return forms.CharField(label=label, strip=False, required=False, widget=area)

    def grown(self, what: str) -> "WriteForm":
        """The same with instructions to write, or with one more turn. Nothing is judged yet."""
        given = {name: self.data.get(name, "") for name in self.fields}
        if what == conversation_form.INSTRUCTIONS:
            given.setdefault(what, "")
        elif what == conversation_form.TURN:
            place = sum(name.startswith("said-") for name in self.fields)
            given |= {
                f"said-{place}": given["prompt"],
                f"said-{place + 1}": given["answer"],
                "prompt": "",
                "answer": "",
            }
        return WriteForm(initial=given)

    @property
    def several(self) -> bool:
        return "said-0" in self.fields

    @property
    def has_instructions(self) -> bool:
        return conversation_form.INSTRUCTIONS in self.fields

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        try:
            self.said = conversation_form.without_empty_turns(self._said(given), [])
        except PlainError as error:
            raise forms.ValidationError(error.message) from error
        return given

    def _said(self, given: dict[str, Any]) -> list[Message]:
        roles = {conversation_form.INSTRUCTIONS: "system", "prompt": "user", "answer": "assistant"}
        return [
            {
                "role": roles.get(name) or ("assistant" if int(name[5:]) % 2 else "user"),
                "content": newlines(given.get(name) or ""),
            }
            for name in self.fields
        ]

    def messages(self) -> list[Message]:
        return self.said


class MoveForm(forms.Form):
    split = forms.ChoiceField(choices=Split.choices)


class NameForm(forms.ModelForm):
    """What people call a version; no part of what is frozen."""

    class Meta:
        model = Version
        fields = ["name", "note"]
        labels = {"name": _l("Name"), "note": _l("What is different about it")}
        widgets = {"note": forms.Textarea(attrs={"rows": 3, "maxlength": 2000})}

    def clean_note(self) -> str:
        note: str = self.cleaned_data["note"]
        if len(note) > 2000:
            raise forms.ValidationError(_("A note has at most 2,000 characters."))
        return note


class TableForm(forms.Form):
    """How a table is written that somebody downloads; what the address leaves out is as usual."""

    USUAL = {
        "delimiter": ",",
        "encoding": "utf-8-sig",
        "lines": "crlf",
        "quotes": "needed",
        "columns": "all",
        "cells": "safe",
    }
    delimiter = forms.ChoiceField(label=_l("Between the columns"), choices=DELIMITERS)
    encoding = forms.ChoiceField(
        label=_l("Encoding"),
        choices=[
            ("utf-8-sig", _l("UTF-8, as spreadsheets know it")),
            ("utf-8", "UTF-8"),
            *((name, name.upper()) for name in ENCODINGS if not name.startswith("utf-8")),
        ],
    )
    lines = forms.ChoiceField(
        label=_l("Line ends"),
        choices=[("crlf", _l("Windows  CR LF")), ("lf", _l("Linux, macOS  LF"))],
    )
    quotes = forms.ChoiceField(
        label=_l("Quotation marks"),
        choices=[("needed", _l("where they are needed")), ("all", _l("round every cell"))],
    )
    columns = forms.ChoiceField(
        label=_l("Columns"),
        choices=[("all", _l("with number and side")), ("pairs", _l("only prompt and answer"))],
    )
    cells = forms.ChoiceField(
        label=_l("Cells like a formula"),
        choices=[
            ("safe", _l("an apostrophe first")),
            ("exact", _l("as they are, for programs")),
        ],
    )

    def __init__(self, data: QueryDict | None = None) -> None:
        super().__init__(None if data is None else self.USUAL | data.dict(), initial=self.USUAL)

    def layout(self, form: str) -> Layout:
        asked = self.cleaned_data
        return Layout(
            encoding=asked["encoding"],
            delimiter="\t" if form == "tsv" else asked["delimiter"],
            line_end="\n" if asked["lines"] == "lf" else "\r\n",
            quote_all=asked["quotes"] == "all",
            columns=asked["columns"],
            exact=asked["cells"] == "exact",
        )
