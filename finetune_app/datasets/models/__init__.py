"""A dataset, its examples, their imports and their edits."""

from finetune_app.datasets.models.base import Dataset, Split, Status
from finetune_app.datasets.models.edits import Change, Edit
from finetune_app.datasets.models.examples import (
    BY_A_PERSON,
    PAIR,
    Example,
    ExampleQuerySet,
    Label,
    Suggestion,
)
from finetune_app.datasets.models.imports import Import

__all__ = [
    "BY_A_PERSON",
    "PAIR",
    "Change",
    "Dataset",
    "Edit",
    "Example",
    "ExampleQuerySet",
    "Import",
    "Label",
    "Split",
    "Status",
    "Suggestion",
]
