"""The starter model for tests, cached in .cache/models.

    python -m tests.starter        prepare it, or report in one line why not

FINETUNE_STARTER is a folder that contains it. Tests use the fixture `starter` or the mark
`needs_starter`; both skip without it.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest

from finetune_app.basemodels.catalogue import STARTER
from worker.installs.starter import StarterError, prepare

CACHE = Path(__file__).resolve().parent.parent / ".cache" / "models"
FOLDER = Path(os.environ.get("FINETUNE_STARTER") or CACHE / STARTER)
WHY_NOT = "the starter model is not here: python -m tests.starter prepares it"


def is_there() -> bool:
    return (FOLDER / "model.safetensors").exists()


needs_starter = pytest.mark.skipif(not is_there(), reason=WHY_NOT)


@pytest.fixture
def starter(db, data_dir):
    """The starter's BaseModel, with its folder in the test's DATA_DIR."""
    from finetune_app.basemodels.services import register_starter

    if not is_there():
        pytest.skip(WHY_NOT)
    link_starter(data_dir)
    return register_starter()


def link_starter(data_dir: Path) -> Path:
    """Put the starter where an installation in `data_dir` expects it; return its folder."""
    folder = data_dir / "models" / STARTER
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(FOLDER, folder, copy_function=_link_or_copy)
    return folder


def _link_or_copy(source: str, target: str) -> None:
    """Hard link half a gigabyte if possible, else copy it."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def main() -> int:
    if is_there():
        return 0
    try:
        prepare(CACHE, lambda words: print(words, flush=True))
    except (StarterError, OSError) as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
