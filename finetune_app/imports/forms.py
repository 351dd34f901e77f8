"""Forms of an import: the file or pasted text, how it is read, its columns, what it replaces."""

from typing import Any, TypedDict, cast

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _l

from finetune_app.core.text_formats import DELIMITERS, ENCODINGS
from finetune_app.datasets.models import Import
from finetune_app.imports.column_mapping import ALL_FOR_TEST, TAKE_WITHOUT
from finetune_app.imports.schemas import ColumnMapping, FileShape, ReadOptions

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


class ReadOptionsForm(forms.Form):
    """How to read the file, where the detection was wrong.

    A table has a delimiter, a workbook sheets, a zip members, and only text an encoding.
    """

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

    def __init__(self, data: QueryDict | None = None, *, shape: FileShape) -> None:
        header = {True: "yes", False: "no", None: ""}[shape.get("has_header")]
        initial = {
            "encoding": shape.get("encoding", ""),
            "delimiter": shape.get("delimiter"),
            "has_header": header,
            "sheet": shape.get("sheet"),
            "member": shape.get("member"),
        }
        super().__init__(data, initial=initial)
        self._offer("member", shape.get("members", []))
        self._offer("sheet", shape.get("sheets", []))
        file_format = shape.get("format", "table")
        if file_format != "table":
            del self.fields["delimiter"]
        if file_format not in ("table", "sheet"):
            del self.fields["has_header"]
        if file_format in ("sheet", "parquet"):
            del self.fields["encoding"]

    def _offer(self, field: str, names: list[str]) -> None:
        if len(names) < 2:
            del self.fields[field]
        else:
            cast(forms.ChoiceField, self.fields[field]).choices = [(name, name) for name in names]

    def options(self) -> ReadOptions:
        """The chosen options.

        With another file of the zip or another sheet, unchanged fields are dropped, because they
        describe the previous one.
        """
        chosen = {k: v for k, v in self.cleaned_data.items() if v not in (None, "")}
        for name in ("member", "sheet"):
            if name in chosen and chosen[name] != self.initial[name]:
                chosen = {
                    k: v for k, v in chosen.items() if k in ("member", name) or v != self.initial[k]
                }
                break
        return cast(ReadOptions, chosen)


class MappingForm(forms.Form):
    """The column mapping. `unanswered` says what to do with rows without an answer."""

    ADVANCED = ("split", "key", "group", "unanswered")
    NOT_A_COLUMN = ("unanswered",)

    def __init__(self, *args: Any, columns: list[str], mapping: ColumnMapping, **kwargs: Any):
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
        self._choice("thought", _("The thought before the answer"), none + every, mapping)
        self._choice("rejected", _("A worse answer"), none + every, mapping)
        self.fields["rejected"].help_text = _(
            "To the same question. Later the model can learn to prefer the other one."
        )
        self._choice("system", _("Instructions"), none + every, mapping)
        all_for_test = [(ALL_FOR_TEST, _("keep all of them for the test"))]
        self._choice("split", _("Learn, practice or test"), none + all_for_test + every, mapping)
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
                ("keep", _("import them, to be answered here")),
            ],
            mapping,
        )

    def _choice(
        self,
        name: str,
        label: str,
        choices: list[tuple[str, str]],
        mapping: ColumnMapping,
        required: bool = False,
    ) -> None:
        offered = choices if not required or mapping.get(name) else [("", _("choose")), *choices]
        self.fields[name] = forms.ChoiceField(
            label=label,
            choices=offered,
            required=required,
            initial=mapping.get(name, ""),
            error_messages={"required": _("Choose a column.")},
        )

    @property
    def usual(self) -> list[forms.BoundField]:
        return [one for one in self if one.name not in self.ADVANCED]

    @property
    def advanced(self) -> list[forms.BoundField]:
        return [one for one in self if one.name in self.ADVANCED]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        prompt, answer = cleaned.get("prompt"), cleaned.get("answer")
        if prompt and prompt == answer:
            self.add_error("answer", _("The prompt and the answer cannot be the same column."))
        better = answer or cleaned.get("messages")
        if cleaned.get("thought") and cleaned["thought"] in (better, prompt):
            self.add_error("thought", _("The thought has to be a column of its own."))
        if cleaned.get("rejected") and cleaned["rejected"] in (better, prompt):
            self.add_error("rejected", _("The worse answer has to be a column of its own."))
        for name in ("context", "system"):
            if cleaned.get(name) and cleaned[name] == better:
                self.add_error(name, _("The model would read the answer before it gives it."))
        return cleaned

    def mapping(self) -> ColumnMapping:
        return {"style": self.style} | {k: v or "" for k, v in self.cleaned_data.items()}


class UnreadKeysForm(forms.Form):
    """What becomes of rows with a key that is not read and changes their meaning."""

    LEAVE_OUT = "leave out"
    unread = forms.ChoiceField(
        label=_l("What about these rows?"),
        choices=[
            (LEAVE_OUT, _l("Leave them out\nthey are listed for you")),
            (TAKE_WITHOUT, _l("Take them without it\nthey are learned as if it were not there")),
        ],
        widget=forms.RadioSelect,
        error_messages={"required": _l("Choose what becomes of these rows.")},
    )

    def mapping(self) -> ColumnMapping:
        """The mapping's "unread"."""
        take = self.cleaned_data["unread"] == TAKE_WITHOUT
        return {"unread": TAKE_WITHOUT if take else ""}


class ModeChoices(TypedDict):
    mode: str
    whole_or_nothing: bool


class ImportModeForm(forms.Form):
    """What to do with existing examples, and with rows that cannot be used."""

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

    def choices(self) -> ModeChoices:
        """Arguments of confirm_import. An invalid value counts as not chosen."""
        self.is_valid()
        return {
            "mode": self.cleaned_data.get("mode") or Import.Mode.APPEND,
            "whole_or_nothing": self.cleaned_data.get("whole_or_nothing", False),
        }
