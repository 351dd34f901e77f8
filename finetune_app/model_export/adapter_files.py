"""The files of an adapter, byte for byte those that were trained, tested and are served."""

from pathlib import Path

from django.utils.translation import gettext as _

from finetune_app.core.errors import PlainError
from finetune_app.core.files import local_folder, sha256_of
from finetune_app.training.kept_steps import adapter_sha256_of
from finetune_app.training.models import Training


def adapter_files(training: Training, step: int | None = None) -> list[tuple[Path, str]]:
    """(path, name) of each file: of the best step, or of a kept one.

    Raises PlainError if there is no adapter, or if the file on disk is not the one trained.
    """
    if not training.adapter_sha256:
        raise PlainError(_("This training has no adapter yet."), status=404)
    if training.is_full:
        raise PlainError(
            _(
                "Every number of the model was trained, so there is no adapter: take the merged "
                "model instead."
            ),
            status=404,
            title=_("There is no adapter"),
        )
    wanted = adapter_sha256_of(training, step)
    folder = local_folder(training.folder_of_step(step))
    weights = folder / "adapter_model.safetensors"
    if not weights.exists() or sha256_of(weights) != wanted:
        raise PlainError(
            _(
                "The adapter's file is missing or has been changed since it was trained. "
                "Train again, or restore a backup."
            ),
            status=409,
            title=_("This is not the adapter that was trained"),
        )
    return _files(folder, local_folder(training.adapter_folder))


def _files(folder: Path, best: Path) -> list[tuple[Path, str]]:
    """Those that a kept step shares with the best one, such as the tokenizer, lie in the folder of
    the best one."""
    found = {
        path.relative_to(each).as_posix(): path
        for each in (best, folder)
        for path in each.rglob("*")
        if path.is_file()
    }
    return [(path, name) for name, path in sorted(found.items())]
