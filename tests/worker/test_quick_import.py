"""Libraries are imported without looking for garbage, and what comes later is looked at as ever."""

import gc
import sys
import weakref

import pytest

from worker.quick_import import quick_import


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
