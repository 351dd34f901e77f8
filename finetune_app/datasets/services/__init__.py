"""Every write of this room. Files by what they do: adding, editing, undoing, labelling (one row at
a time), drafts (what is typed there and not saved), together (who does it, and how), suggestions,
freezing, sweeping (many alike), carrying (large
changes, part by part), holding (a job's right to write), emptying the trash."""

from finetune_app.datasets.services.adding import add_example, add_rows
from finetune_app.datasets.services.batch_edits import fraction_done, start_job
from finetune_app.datasets.services.bulk_edits import bulk_edit
from finetune_app.datasets.services.checking import check_all, start_check, stop_check
from finetune_app.datasets.services.editing import Stale, change_many, dataset_of, save_example
from finetune_app.datasets.services.freezing import freeze, why_not
from finetune_app.datasets.services.locking import count_label
from finetune_app.datasets.services.trash import empty_trash
from finetune_app.datasets.services.undoing import undo

__all__ = [
    "Stale",
    "add_example",
    "add_rows",
    "bulk_edit",
    "change_many",
    "check_all",
    "count_label",
    "dataset_of",
    "empty_trash",
    "fraction_done",
    "freeze",
    "save_example",
    "start_check",
    "start_job",
    "stop_check",
    "undo",
    "why_not",
]
