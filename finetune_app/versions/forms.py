"""Forms to name a version and to choose the layout of a table."""

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _l

from finetune_app.core.text_formats import DELIMITERS, ENCODINGS
from finetune_app.datasets.example_export import TableLayout
from finetune_app.versions.models import Version


class NameForm(forms.ModelForm):  # type: ignore[type-arg]
    """The name and note of a version, which are not part of the frozen file."""

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
    """The layout of a downloaded table. Options missing in the URL have their default."""

    DEFAULTS = {
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
            ("utf-8-sig", _l("UTF-8 for spreadsheets")),
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
        choices=[("needed", _l("where they are needed")), ("all", _l("around every cell"))],
    )
    columns = forms.ChoiceField(
        label=_l("Columns"),
        choices=[
            ("all", _l("with number, split and group")),
            ("pairs", _l("without number, split and group")),
        ],
    )
    cells = forms.ChoiceField(
        label=_l("Cells that look like formulas"),
        choices=[
            ("safe", _l("with a leading apostrophe")),
            ("exact", _l("as they are, for programs")),
        ],
    )

    def __init__(self, data: QueryDict | None = None) -> None:
        super().__init__(
            None if data is None else self.DEFAULTS | data.dict(), initial=self.DEFAULTS
        )

    def layout(self, form: str) -> TableLayout:
        asked = self.cleaned_data
        return TableLayout(
            encoding=asked["encoding"],
            delimiter="\t" if form == "tsv" else asked["delimiter"],
            line_end="\n" if asked["lines"] == "lf" else "\r\n",
            quote_all=asked["quotes"] == "all",
            columns=asked["columns"],
            exact=asked["cells"] == "exact",
        )
