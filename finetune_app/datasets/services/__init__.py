"""Every write of this room. Files by what they do: editing, imports, freezing."""

from finetune_app.datasets.services.editing import (
    Stale,
    add_example,
    add_rows,
    change_many,
    dataset_of,
    save_example,
    undo,
)
from finetune_app.datasets.services.freezing import freeze, why_not
from finetune_app.datasets.services.imports import (
    bring_in,
    cancel_import,
    confirm_import,
    look_again,
    start_import,
)

__all__ = [
    "Stale", "add_example", "add_rows", "bring_in", "cancel_import", "change_many",
    "confirm_import", "dataset_of", "freeze", "look_again", "save_example", "start_import",
    "undo", "why_not",
]
