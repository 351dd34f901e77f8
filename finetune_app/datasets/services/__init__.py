"""Every write of this room. Files by what they do: adding, editing, undoing, imports (a file's
way), bringing (its rows), freezing."""

from finetune_app.datasets.services.adding import add_example, add_rows
from finetune_app.datasets.services.editing import Stale, change_many, dataset_of, save_example
from finetune_app.datasets.services.freezing import freeze, why_not
from finetune_app.datasets.services.imports import (
    cancel_import,
    carry_out,
    change_columns,
    confirm_import,
    forget_layout,
    good_rows_only,
    look_again,
    start_import,
)
from finetune_app.datasets.services.undoing import undo

__all__ = [
    "Stale", "add_example", "add_rows", "cancel_import", "carry_out", "change_columns",
    "change_many", "confirm_import", "dataset_of", "forget_layout", "freeze", "good_rows_only",
    "look_again", "save_example", "start_import", "undo", "why_not",
]  # fmt: skip
