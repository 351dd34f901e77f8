"""Services that write examples."""

from finetune_app.datasets.services.adding import add_example, add_pair_beside, add_rows
from finetune_app.datasets.services.batch_edits import fraction_done, start_job
from finetune_app.datasets.services.bulk_edits import bulk_edit
from finetune_app.datasets.services.editing import (
    StaleExample,
    change_many,
    dataset_of,
    save_example,
)
from finetune_app.datasets.services.locking import count_label
from finetune_app.datasets.services.pairing import prefer
from finetune_app.datasets.services.trash import empty_trash
from finetune_app.datasets.services.undoing import undo

__all__ = [
    "StaleExample",
    "add_example",
    "add_pair_beside",
    "add_rows",
    "bulk_edit",
    "change_many",
    "count_label",
    "dataset_of",
    "empty_trash",
    "fraction_done",
    "prefer",
    "save_example",
    "start_job",
    "undo",
]
