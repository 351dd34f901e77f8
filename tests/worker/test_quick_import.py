"""Libraries are imported without looking for garbage and without what they do not need, and what
comes later is looked at, and found, as ever."""

import ast
import gc
import sys
import weakref
from pathlib import Path

import pytest

import worker
from tests.worker.own_process import in_own_process
from worker.quick_import import UNUSED, quick_import


class Circle:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def library(tmp_path, monkeypatch):
    (tmp_path / "a_large_library.py").write_text(
        "import gc\nlooked_for_garbage = gc.isenabled()\nparts = [[n] for n in range(1000)]\n"
    )
    (tmp_path / "a_broken_library.py").write_text("raise ImportError('no such card')\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "a_large_library"
    sys.modules.pop("a_large_library", None)


def test_garbage_is_not_looked_for_during_an_import(library):
    [module] = quick_import([library])
    assert not module.looked_for_garbage
    assert gc.isenabled()


def test_nor_later_among_what_was_imported(library):
    before = gc.get_freeze_count()
    quick_import([library])
    assert gc.get_freeze_count() >= before + 1000


def test_what_is_made_after_it_is_collected_also_when_it_is_called_again(library):
    quick_import([library])
    circle = weakref.ref(Circle())
    [module] = quick_import([library])
    assert len(module.parts) == 1000
    gc.collect()
    assert circle() is None


def test_an_import_that_fails_says_so_and_changes_nothing_else(library):
    with pytest.raises(ImportError, match="no such card"):
        quick_import(["a_broken_library"])
    assert gc.isenabled()


def test_what_is_unused_is_not_imported_with_it_and_can_be_imported_later():
    """In a process of its own, since here all of them are imported."""
    program = (
        "import sys; from worker.quick_import import UNUSED, quick_import\n"
        "quick_import(['worker.training'], UNUSED)\n"
        "assert not [name for name in UNUSED if name in sys.modules]\n"
        "from peft.import_utils import is_bnb_available\n"
        "from transformers.utils import is_bitsandbytes_available\n"
        "assert is_bnb_available() and is_bitsandbytes_available()\n"
        "import bitsandbytes, boto3, scipy.stats"
    )
    pytest.importorskip("bitsandbytes", reason="of the extra qlora")
    in_own_process(program)


def test_the_engine_opens_a_model_without_scipy(tmp_path):
    """In a process of its own, too, as the engine itself opens a model."""
    program = (
        "import sys; from pathlib import Path\n"
        "from finetune_app.core.vllm_installation import VllmInstallation\n"
        "from worker.engine.backend_selector import BackendSelector\n"
        "try:\n"
        f"    folder = Path({str(tmp_path)!r})\n"
        "    BackendSelector(VllmInstallation(None), folder / 'log').open(folder, 'fp32')\n"
        "except Exception as problem:\n"
        "    assert type(problem).__name__ == 'BadModel', problem\n"
        "assert 'torch' in sys.modules and 'scipy' not in sys.modules\n"
    )
    in_own_process(program)


def test_what_was_imported_before_is_kept(library):
    [module] = quick_import([library])
    with pytest.raises(ImportError, match="no such card"):  # it looks for one, so it is imported
        quick_import(["a_broken_library"], [library])
    assert sys.modules[library] is module


def test_after_an_import_that_fails_all_can_be_found(library):
    with pytest.raises(ImportError, match="no such card"):
        quick_import(["a_broken_library"], [library])
    assert quick_import([library])


def test_jobs_import_what_is_unused_only_where_they_use_it():
    root = Path(worker.__file__).parents[1]
    found = {
        (name, str(path.relative_to(root)))
        for folder in ("worker", "finetune_app")
        for path in (root / folder).rglob("*.py")
        for name in imported_at_start(path)
    }
    assert ("numpy", "worker/drift/classifier.py") in found
    assert not [one for one in found if one[0] in UNUSED]


def imported_at_start(path: Path) -> list[str]:
    """Libraries that a file imports outside functions and `if TYPE_CHECKING`."""
    found = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            found += [one.name.split(".")[0] for one in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module.split(".")[0])
    return found
