"""A trained adapter as a zip file that PEFT alone can load."""

import tempfile
import zipfile
from typing import IO

from finetune_app.model_export.adapter_files import adapter_files
from finetune_app.model_export.model_card import ADAPTER_FOLDER, adapter_card
from finetune_app.model_export.services import file_stem
from finetune_app.training.models import Training


def adapter_archive(training: Training, step: int | None = None) -> tuple[IO[bytes], str]:
    """Return (zip of the adapter folder, its file name): of the best step, or of a kept one.

    Raises PlainError if there is no adapter, or if the file on disk is not the one trained.
    """
    files = adapter_files(training, step)
    name = file_stem(training, step)
    archive = tempfile.TemporaryFile()  # noqa: SIM115  (the response closes it)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        packed.writestr(f"{name}/README.md", adapter_card(training, step))
        for path, file in files:
            packed.write(path, f"{name}/{ADAPTER_FOLDER}/{file}")
    archive.seek(0)
    return archive, f"{name}.zip"
