"""What people send: files, and a question."""

from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext_lazy as _l

ACCEPT = ".pdf,.docx,.md,.markdown,.html,.htm,.txt,.csv,.tsv"
LONGEST_QUESTION = 2_000  # characters


class SeveralFiles(forms.FileInput):
    allow_multiple_selected = True


class FilesField(forms.FileField):
    """All files that were chosen, each checked as one."""

    def clean(self, data: Any, initial: Any = None) -> list["UploadedFile[Any]"]:
        given = data if isinstance(data, list | tuple) else [data]
        return [super(FilesField, self).clean(one, initial) for one in given or [None]]


class UploadForm(forms.Form):
    documents = FilesField(
        label=_l("Drop documents here, several at once"),
        allow_empty_file=True,
        max_length=None,
        help_text=_l("PDF, Word, Markdown, HTML, plain text or CSV; up to 200 MB at a time."),
        widget=SeveralFiles(attrs={"accept": ACCEPT, "multiple": True}),
        error_messages={"required": _l("Choose one document or several.")},
    )


class AskForm(forms.Form):
    q = forms.CharField(
        label=_l("Ask your documents"),
        max_length=LONGEST_QUESTION,
        widget=forms.TextInput(
            attrs={"placeholder": _l("A question that one of them answers"), "autocomplete": "off"}
        ),
        error_messages={"required": _l("Write a question first.")},
    )
