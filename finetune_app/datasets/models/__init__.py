"""Step 2: example conversations, their checks, their frozen versions."""

from finetune_app.datasets.models.base import Dataset, Split, Status
from finetune_app.datasets.models.edits import BulkEdit, Change, Edit
from finetune_app.datasets.models.examples import Draft, Example, ExampleQuerySet, Label, Suggestion
from finetune_app.datasets.models.findings import Finding, RowCheck, Severity
from finetune_app.datasets.models.imports import Import
from finetune_app.datasets.models.versions import Version

__all__ = [
    "BulkEdit",
    "Change",
    "Dataset",
    "Draft",
    "Edit",
    "Example",
    "ExampleQuerySet",
    "Finding",
    "Import",
    "Label",
    "RowCheck",
    "Severity",
    "Split",
    "Status",
    "Suggestion",
    "Version",
]
