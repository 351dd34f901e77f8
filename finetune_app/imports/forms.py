"""Forms of an import: the file or pasted text, how it is read, its columns, what it replaces."""

from typing import Any, cast

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _l

from finetune_app.core.text_formats import DELIMITERS, ENCODINGS
from finetune_app.datasets.models import Import

ACCEPT = ".csv,.tsv,.tab,.txt,.json,.jsonl,.ndjson,.xlsx,.xlsm,.xlsb,.ods,.parquet,.zip"
DELIMITER_CHOICES = [("", _l("as it looks")), *DELIMITERS]
ENCODING_CHOICES = [("", _l("as it looks")), *((name, name.upper()) for name in ENCODINGS)]


class UploadForm(forms.Form):
    file = forms.FileField(
        label=_l("Drop a table, a workbook or JSON lines here"),
        required=False,
        allow_empty_file=True,
        max_length=None,
        widget=forms.FileInput(attrs={"accept": ACCEPT}),
    )
    text = forms.CharField(
        label=_l("Or paste rows from a spreadsheet"),
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 5, "spellcheck": "false"}),
    )


class ShapeForm(forms.Form):
    """How the file is read, when we guessed wrong. `shape` is what worker/imports/opening.py
    says of it: a table has a delimiter, a workbook sheets, a zip members."""

    member = forms.ChoiceField(label=_l("File in the zip"), required=False)
    sheet = forms.ChoiceField(label=_l("Sheet"), required=False)
    encoding = forms.ChoiceField(label=_l("Encoding"), required=False, choices=ENCODING_CHOICES)
    delimiter = forms.ChoiceField(
        label=_l("Between the columns"), choices=DELIMITER_CHOICES, required=False
    )
    has_header = forms.TypedChoiceField(
        label=_l("First row"),
        required=False,
        choices=[
            ("", _l("as it looks")),
            ("yes", _l("holds the names of the columns")),
            ("no", _l("is an example already")),
        ],
        coerce=lambda word: word == "yes",
        empty_value=None,
    )

    def __init__(self, data: QueryDict | None = None, *, shape: dict[str, Any]) -> None:
        header = {True: "yes", False: "no", None: ""}[shape.get("has_header")]
        initial = {
            "encoding": shape.get("encoding", ""),
            "delimiter": shape.get("delimiter"),
            "has_header": header,
            "sheet": shape.get("sheet"),
            "member": shape.get("member"),
        }
        super().__init__(data, initial=initial)
        form = shape.get("format", "table")
        for name, several in (("member", "members"), ("sheet", "sheets")):
            choices = [(one, one) for one in shape.get(several, [])]
            cast(forms.ChoiceField, self.fields[name]).choices = choices
            if len(choices) < 2:
                del self.fields[name]
        if form != "table":
            del self.fields["delimiter"]
        if form not in ("table", "sheet"):
            del self.fields["has_header"]
        if form in ("sheet", "parquet"):
            del self.fields["encoding"]

    def given(self) -> dict[str, Any]:
        """What was chosen. Another file of the zip, or another sheet, is looked at afresh: what
        the form said of the one before it means nothing there."""
        chosen = {k: v for k, v in self.cleaned_data.items() if v not in (None, "")}
        for name in ("member", "sheet"):
            if name in chosen and chosen[name] != self.initial[name]:
                return {
                    k: v for k, v in chosen.items() if k in ("member", name) or v != self.initial[k]
                }
        return chosen


class MappingForm(forms.Form):
    """Which column is what. `unanswered` says what becomes of rows that have no answer."""

    RARE = ("split", "key", "group", "unanswered")
    NO_COLUMN = ("unanswered",)

    def __init__(self, *args: Any, columns: list[str], mapping: dict[str, str], **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.style = mapping.get("style", "pairs")
        none = [("", _("none"))]
        every = [(name, name) for name in columns]
        if self.style == "messages":
            self._choice("messages", _("Conversations"), every, mapping, required=True)
        else:
            self._choice("prompt", _("What is asked"), every, mapping, required=True)
            if mapping.get("unanswered"):
                self._choice("answer", _("The answer to learn"), none + every, mapping)
            else:
                self._choice("answer", _("The answer to learn"), every, mapping, required=True)
            self._choice("context", _("More text for the prompt"), none + every, mapping)
        self._choice("system", _("Instructions"), none + every, mapping)
        self._choice("split", _("Learn, practice or test"), none + every, mapping)
        self._choice("key", _("The row’s own name or number"), none + every, mapping)
        self._choice("group", _("Rows that belong together"), none + every, mapping)
        self.fields["key"].help_text = _("With it, a newer file can update these rows later.")
        self.fields["group"].help_text = _(
            "Such as a customer: rows of one group are never both learned and tested."
        )
        self._choice(
            "unanswered",
            _("Rows without an answer"),
            [
                ("", _("leave them out")),
                ("keep", _("bring them in, to be answered here")),
            ],
            mapping,
        )

    def _choice(
        self,
        name: str,
        label: str,
        choices: list[tuple[str, str]],
        mapping: dict[str, str],
        required: bool = False,
    ) -> None:
        start = choices if not required or mapping.get(name) else [("", _("choose")), *choices]
        self.fields[name] = forms.ChoiceField(
            label=label,
            choices=start,
            required=required,
            initial=mapping.get(name, ""),
            error_messages={"required": _("Choose a column.")},
        )

    @property
    def usual(self) -> list[forms.BoundField]:
        return [one for one in self if one.name not in self.RARE]

    @property
    def rare(self) -> list[forms.BoundField]:
        return [one for one in self if one.name in self.RARE]

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        prompt, answer = given.get("prompt"), given.get("answer")
        if prompt and prompt == answer:
            self.add_error("answer", _("The prompt and the answer cannot be the same column."))
        return given

    def mapping(self) -> dict[str, str]:
        return {"style": self.style} | {k: v or "" for k, v in self.cleaned_data.items()}


class HowForm(forms.Form):
    """What becomes of the rows that are here already, and of rows that cannot be used."""

    mode = forms.ChoiceField(
        label=_l("What about the examples that are here?"),
        required=False,
        choices=[
            ("append", _l("Keep them\nand add these")),
            ("merge", _l("Update them\nthe same rows are changed, new ones are added")),
            ("replace", _l("Replace them\nwhat is not in the file goes into the trash")),
        ],
        widget=forms.RadioSelect,
        initial=Import.Mode.APPEND,
    )
    whole_or_nothing = forms.BooleanField(
        label=_l("Add nothing at all if one row cannot be used"), required=False
    )

    def __init__(self, *args: Any, empty: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if empty:
            del self.fields["mode"]

    def given(self) -> dict[str, Any]:
        """The words of confirm_import; what makes no sense counts as not said."""
        self.is_valid()
        return {
            "mode": self.cleaned_data.get("mode") or Import.Mode.APPEND,
            "whole_or_nothing": self.cleaned_data.get("whole_or_nothing", False),
        }
