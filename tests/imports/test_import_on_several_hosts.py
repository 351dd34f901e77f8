"""What one host has read of a file can be stored and downloaded at another."""

from collections.abc import Callable

import pytest

from finetune_app.core.files import names_below
from finetune_app.datasets.models import Import
from finetune_app.datasets.services import add_rows
from finetune_app.imports.services import apply_plan, confirm_import, return_to_columns
from tests.example_rows import conversation
from tests.imports.conftest import finish_job, finish_reading

IN_MEMORY = {"default": {"BACKEND": "django.core.files.storage.InMemoryStorage"}}


def row(answer: str) -> dict:
    return {"messages": conversation("Question?", answer)}


@pytest.fixture
def on_host(settings, tmp_path) -> Callable[[str], None]:
    """Go on at the host of this name. All share a remote store."""
    settings.STORAGES = {**settings.STORAGES, **IN_MEMORY}

    def move(name: str) -> None:
        settings.DATA_DIR = tmp_path / name

    return move


@pytest.fixture
def example(dataset):
    add_rows(dataset=dataset, by=None, rows=[row("old")])
    return dataset.examples.get()


def test_another_host_stores_a_plan(
    on_host, example, run_import, django_capture_on_commit_callbacks
):
    on_host("a")
    item = run_import([row("new")], mode=Import.Mode.REPLACE)
    on_host("b")
    apply_plan(item=item)
    with django_capture_on_commit_callbacks(execute=True):
        finish_job(item, {"step": "store"})
    example.refresh_from_db()
    assert example.answer == "new"
    assert f"{item.folder}/rows.jsonl" not in names_below(item.folder)


def test_the_rows_that_were_read_last_are_stored(on_host, example, run_import):
    on_host("a")
    item = run_import([row("new")], mode=Import.Mode.MERGE)
    on_host("b")
    return_to_columns(item=item)
    item.shape = {"columns": []}
    confirm_import(item=item, mapping={"style": "pairs"}, mode=Import.Mode.MERGE)
    finish_reading(item, [row("newest")])
    on_host("a")
    apply_plan(item=item)
    finish_job(item, {"step": "store"})
    example.refresh_from_db()
    assert example.answer == "newest"


@pytest.mark.parametrize(
    "fields", [{"mode": Import.Mode.MERGE}, {"whole_or_nothing": True}], ids=["planned", "failed"]
)
def test_another_host_lists_the_rejected_rows(on_host, example, run_import, as_owner, url, fields):
    on_host("a")
    item = run_import([row("new")], rejected=1, **fields)
    on_host("b")
    reply = as_owner.get(url("rejected_rows", import_id=item.pk))
    assert b"no answer" in b"".join(reply.streaming_content)
