"""Forms: upload documents, and search them."""

from typing import Any

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _l

ACCEPT = ".pdf,.docx,.md,.markdown,.html,.htm,.txt,.csv,.tsv"
MAX_QUESTION_CHARACTERS = 2_000


class MultipleFileInput(forms.FileInput):
    allow_multiple_selected = True


class MultipleFileField(forms.FileField):
    """Cleans each of the chosen files."""

    def clean(self, data: Any, initial: Any = None) -> list["UploadedFile[Any]"]:
        files = data if isinstance(data, list | tuple) else [data]
        return [super(MultipleFileField, self).clean(one, initial) for one in files or [None]]


class UploadForm(forms.Form):
    documents = MultipleFileField(
        label=_l("Drop documents here, several at once"),
        allow_empty_file=True,
        max_length=None,
        help_text=format_lazy(
            _l("PDF, Word, Markdown, HTML, plain text or CSV; up to {n} MB at a time."),
            n=settings.MAX_UPLOAD_BYTES // 1024**2,
        ),
        widget=MultipleFileInput(attrs={"accept": ACCEPT, "multiple": True}),
        error_messages={"required": _l("Choose one document or several.")},
    )


class SearchForm(forms.Form):
    q = forms.CharField(
        label=_l("Ask your documents"),
        max_length=MAX_QUESTION_CHARACTERS,
        widget=forms.TextInput(
            attrs={"placeholder": _l("A question that one of them answers"), "autocomplete": "off"}
        ),
        error_messages={"required": _l("Write a question first.")},
    )
