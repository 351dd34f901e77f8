"""A trained adapter as a zip file that PEFT alone can load."""

import tempfile
import zipfile
from pathlib import Path
from typing import IO

from django.utils.translation import gettext as _

from finetune_app.core.errors import PlainError
from finetune_app.core.files import local_folder, sha256_of
from finetune_app.model_export.model_card import adapter_card
from finetune_app.model_export.services import file_stem
from finetune_app.training.kept_steps import adapter_sha256_of
from finetune_app.training.models import Training


def adapter_archive(training: Training, step: int | None = None) -> tuple[IO[bytes], str]:
    """Return (zip of the adapter folder, its file name): of the best step, or of a kept one.

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
    name = file_stem(training, step)
    archive = tempfile.TemporaryFile()  # noqa: SIM115  (the response closes it)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        packed.writestr(f"{name}/README.md", adapter_card(training, step))
        for path, file in _files(folder, local_folder(training.adapter_folder)):
            packed.write(path, f"{name}/adapter/{file}")
    archive.seek(0)
    return archive, f"{name}.zip"


def _files(folder: Path, best: Path) -> list[tuple[Path, Path]]:
    """(path, name) of an adapter's files. Those that a kept step shares with the best one, such as
    the tokenizer, lie in the folder of the best one."""
    found = {
        path.relative_to(each): path
        for each in (best, folder)
        for path in each.rglob("*")
        if path.is_file()
    }
    return [(path, name) for name, path in sorted(found.items())]
