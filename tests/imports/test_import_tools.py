"""Rows with tools: imported, shown, edited, frozen, and exported as they came."""

import json

import pytest

from finetune_app.core.files import local_path
from finetune_app.datasets.models import Example
from finetune_app.versions.models import Version
from tests.page_text import compact
from tests.tool_rows import TOOLS, answered_row, as_stored, calling_row, question

pytestmark = pytest.mark.one_database

CITIES = [
    "Rome",
    "Oslo",
    "Lima",
    "Bern",
    "Riga",
    "Graz",
    "Kyiv",
    "Baku",
    "Doha",
    "Suva",
    "Nuuk",
    "Cork",
    "Nice",
    "Pisa",
    "Lyon",
    "Metz",
    "Genoa",
    "Lagos",
    "Accra",
    "Quito",
    "Hanoi",
    "Delhi",
    "Turin",
    "Essen",
]
ROWS = [calling_row(city) if n % 2 else answered_row(city) for n, city in enumerate(CITIES)]
CALL = '{"name": "get_weather", "arguments": {"city": "Oslo", "days": 2}}'


def lines(rows: list[dict]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@pytest.fixture
def imported(as_owner, upload_file, run_job, url):
    item = run_job(upload_file(as_owner, "weather.jsonl", lines(ROWS)))
    page = compact(as_owner.get(url("detail", import_id=item.pk)))
    assert "Add 24 examples" in page
    assert "The tool returns" in page
    assert "tools" not in [key["column"] for key in item.shape["keys"] if key["key"]]
    as_owner.post(url("confirm", import_id=item.pk), {"messages": "messages", "add": "1"})
    item = run_job(item)
    assert (item.rows_kept, item.rejected_count) == (24, 0)
    return item


@pytest.fixture
def frozen(as_owner, imported, dataset_url) -> Version:
    as_owner.post(dataset_url("versions:freeze"))
    return Version.objects.get()


def test_a_row_is_stored_and_frozen_whole(imported, frozen, dataset):
    example = dataset.examples.get(number=2)
    assert example.messages == as_stored(ROWS[1]["messages"])
    assert (example.tools, example.parallel_tool_calls) == (TOOLS, False)
    assert example.answer == CALL
    assert example.status == "approved"
    written = [json.loads(line) for line in local_path(frozen.stored_name).open()]
    assert [row["tools"] for row in written] == [TOOLS] * 24
    assert ["parallel_tool_calls" in row for row in written] == [False, True] * 12
    assert [row["messages"] for row in written] == [as_stored(row["messages"]) for row in ROWS]


def test_the_export_is_what_was_imported(as_owner, frozen, dataset_url):
    reply = as_owner.get(dataset_url("versions:download", number=1, form="openai"))
    exported = [json.loads(line) for line in b"".join(reply.streaming_content).splitlines()]
    assert exported == ROWS


@pytest.mark.parametrize("form", ["csv", "json", "parquet", "xlsx"])
def test_other_exports_can_be_imported_again(
    as_owner, frozen, dataset_url, upload_file, run_job, url, dataset, form
):
    reply = as_owner.get(dataset_url("versions:download", number=1, form=form))
    content = b"".join(reply.streaming_content)
    Example.objects.all().delete()
    item = run_job(upload_file(as_owner, f"again.{form}", content))
    as_owner.post(url("confirm", import_id=item.pk), {"messages": "messages", "add": "1"})
    item = run_job(item)
    assert item.rejected == []
    again = dataset.examples.order_by("number")
    assert [row.messages for row in again] == [as_stored(row["messages"]) for row in ROWS]
    assert [row.tools for row in again] == [TOOLS] * 24
    assert [row.parallel_tool_calls for row in again] == [None, False] * 12


@pytest.mark.parametrize("form", ["alpaca", "vertex", "sharegpt", "prompts"])
def test_a_format_without_tools_says_so(as_owner, frozen, dataset_url, form):
    reply = as_owner.get(dataset_url("versions:download", number=1, form=form))
    assert reply.status_code == 409
    assert "Some rows have tools" in reply.content.decode()


def test_the_row_shows_its_calls_and_keeps_them_when_a_text_is_edited(
    as_owner, imported, dataset, dataset_url
):
    page = compact(as_owner.get(dataset_url("datasets:example", number=1)))
    assert "1 tool it may call" in page
    assert "Result of the tool" in page
    assert "{&quot;name&quot;: &quot;get_weather&quot;" in page
    example = dataset.examples.get(number=1)
    form = {"message-3": "It has 18 degrees.", "changed_at": example.changed_at.isoformat()}
    as_owner.post(dataset_url("datasets:example", number=1), form)
    changed = dataset.examples.get(number=1).messages
    assert changed[:3] == example.messages[:3]
    assert changed[3] == {"role": "assistant", "content": "It has 18 degrees."}


def test_the_table_finds_rows_with_tools(as_owner, imported, dataset, dataset_url):
    dataset.examples.filter(number__gt=20).update(tools=[])
    page = compact(as_owner.get(dataset_url("page"), {"tools": "1"}))
    assert 'id="row-20"' in page
    assert 'id="row-21"' not in page
    assert "with tools" in page


def test_a_newer_file_that_changes_only_the_tools_updates_the_row(
    as_owner, imported, upload_file, run_job, url, dataset
):
    other = [{"type": "function", "function": {"name": "get_weather"}}]
    rows = [row | {"tools": other} for row in ROWS[:1]] + ROWS[1:]
    item = run_job(upload_file(as_owner, "weather 2.jsonl", lines(rows)))
    form = {"messages": "messages", "mode": "merge", "add": "1"}
    as_owner.post(url("confirm", import_id=item.pk), form)
    item = run_job(item)
    assert (item.plan["changed"], item.plan["same"], item.plan["new"]) == (1, 23, 0)
    as_owner.post(url("decide", import_id=item.pk), {"what": "go"})
    run_job(item)
    assert dataset.examples.get(number=1).tools == other


@pytest.mark.parametrize("mode", ["merge", "replace"])
def test_a_newer_file_without_tools_keeps_those_of_the_examples(
    as_owner, imported, upload_file, run_job, url, dataset, mode
):
    newer = f"prompt,answer\n{question('Oslo')['content']},Sunny.\n"
    item = run_job(upload_file(as_owner, "answers.csv", newer.encode()))
    form = {"prompt": "prompt", "answer": "answer", "mode": mode, "add": "1"}
    as_owner.post(url("confirm", import_id=item.pk), form)
    item = run_job(item)
    assert (item.plan["changed"], item.plan["new"]) == (1, 0)
    as_owner.post(url("decide", import_id=item.pk), {"what": "go"})
    run_job(item)
    changed = dataset.examples.get(number=2)
    assert changed.answer == "Sunny."
    assert (changed.tools, changed.parallel_tool_calls) == (TOOLS, False)
