"""Rows with thoughts: imported, frozen, exported as they came, and updated by a newer file."""

import copy
import json

import pytest

from finetune_app.core.files import local_path
from finetune_app.datasets.models import Example
from finetune_app.datasets.services import add_rows
from finetune_app.versions.models import Version
from tests.page_text import compact

pytestmark = pytest.mark.one_database

MANY = [f"How many is {n} times {n}?" for n in range(2, 26)]
LONG = "I multiply, and I take my time. " * 100


def row(n: int, question: str) -> dict:
    thought = f"{n} times {n}:\n  it is {n * n}.\n{LONG if n == 2 else ''}".strip()
    answer = {"role": "assistant", "content": f"It is {n * n}.", "reasoning_content": thought}
    return {"messages": [{"role": "user", "content": question}, answer]}


ROWS = [row(n, question) for n, question in enumerate(MANY, 2)]
ROWS[1]["messages"][1].pop("reasoning_content")
AGAIN = [
    *ROWS[0]["messages"],
    {"role": "user", "content": "And once more?"},
    {"role": "assistant", "content": "Still 4.", "reasoning_content": "Nothing changed."},
]


def lines(rows: list[dict]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@pytest.fixture
def bring(as_owner, upload_file, run_job, url):
    """Import a file by the columns that were inferred; returns the import."""

    def bring(content: bytes, name: str = "thoughts.jsonl", **form: str):
        item = run_job(upload_file(as_owner, name, content))
        chosen = {name: value for name, value in item.mapping.items() if name != "why"}
        as_owner.post(url("confirm", import_id=item.pk), chosen | {"add": "1"} | form)
        return run_job(item)

    return bring


@pytest.fixture
def freeze(as_owner, dataset_url):
    """Freeze a version; returns a download of it."""

    def freeze(form: str) -> bytes:
        as_owner.post(dataset_url("versions:freeze"))
        assert Version.objects.get()
        reply = as_owner.get(dataset_url("versions:download", number=1, form=form))
        assert reply.status_code == 200
        return b"".join(reply.streaming_content)

    return freeze


def test_thoughts_are_shown_before_the_import_and_counted_after_it(
    as_owner, upload_file, run_job, url, dataset
):
    blocks = [
        one | {"content": f"<think>\n{thought}\n</think>\n\n{one['content']}"}
        for row in ROWS
        for one in row["messages"][1:]
        if (thought := one.get("reasoning_content"))
    ]
    asked = [row["messages"][0] for row in ROWS[:1] + ROWS[2:]]
    for one in blocks:
        del one["reasoning_content"]
    rows = [{"messages": list(pair)} for pair in zip(asked, blocks, strict=True)]
    item = run_job(upload_file(as_owner, "blocks.jsonl", lines(rows)))
    page = compact(as_owner.get(url("detail", import_id=item.pk)))
    assert "Add 23 examples" in page
    assert "2 times 2: it is 4." in page
    assert "think&gt;" not in page
    as_owner.post(url("confirm", import_id=item.pk), {"messages": "messages", "add": "1"})
    item = run_job(item)
    assert (item.rows_kept, item.thoughts, item.worse_thoughts) == (23, 23, 0)
    page = compact(as_owner.get(url("detail", import_id=item.pk)))
    assert "23 rows have a thought before their answer, which is kept beside it." in page
    assert dataset.examples.get(number=1).messages == ROWS[0]["messages"]
    assert dataset.examples.get(number=1).answer == "It is 4."


def test_a_thought_of_a_worse_answer_is_left_out_aloud(as_owner, bring, url, dataset):
    rows = [one | {"rejected": f"<think>Hm.</think>\n\n{n}"} for n, one in enumerate(ROWS, 100)]
    item = bring(lines(rows))
    assert (item.thoughts, item.worse_thoughts) == (23, 24)
    page = compact(as_owner.get(url("detail", import_id=item.pk)))
    assert "24 worse answers began with a thought, which was left out." in page
    assert dataset.examples.get(number=1).rejected == "100"


def test_a_row_that_cannot_be_read_is_listed_with_its_line(as_owner, bring, url):
    bad = {"role": "assistant", "content": "<think>Where was I"}
    item = bring(lines([*ROWS, {"messages": [ROWS[0]["messages"][0], bad]}]))
    assert (item.rows_kept, item.rejected_count) == (24, 1)
    assert item.rejected[0]["line"] == 25
    assert "is a thought without an answer" in item.rejected[0]["reason"]


def test_a_version_holds_thoughts_of_every_answer(bring, freeze):
    bring(lines([*ROWS, {"messages": AGAIN}]))
    written = [json.loads(line) for line in freeze("jsonl").splitlines()]
    assert [row["messages"] for row in written] == [*(row["messages"] for row in ROWS), AGAIN]
    version = Version.objects.get()
    assert local_path(version.stored_name).exists()
    assert version.longest > len(LONG)
    assert version.longest_answer > len(LONG)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize(
    ("form", "ending"),
    [
        ("jsonl", "jsonl"),
        ("json", "json"),
        ("openai", "jsonl"),
        ("sharegpt", "json"),
        ("vertex", "jsonl"),
        ("alpaca", "json"),
        ("prompts", "jsonl"),
        ("csv", "csv"),
        ("tsv", "tsv"),
        ("xlsx", "xlsx"),
        ("parquet", "parquet"),
    ],
)
def test_every_format_brings_the_thoughts_back(
    freeze, bring, dataset, owner, form, ending, several
):
    rows = [*ROWS, {"messages": AGAIN}] if several else ROWS
    add_rows(dataset=dataset, by=owner, rows=copy.deepcopy(rows))
    content = freeze(form)
    Example.objects.all().delete()
    item = bring(content, f"again.{ending}")
    assert item.rejected == []
    again = [row.messages for row in dataset.examples.order_by("number")]
    assert again == [row["messages"] for row in rows]


@pytest.mark.parametrize("form", ["sharegpt", "vertex", "alpaca", "prompts"])
@pytest.mark.parametrize("odd", [{"content": "It is 4.\n"}, {"reasoning_content": "a</think>b"}])
def test_a_format_that_would_change_a_thought_says_so(as_owner, bring, dataset_url, form, odd):
    asked, answer = ROWS[0]["messages"]
    bring(lines([{"messages": [asked, answer | odd]}, *ROWS[1:]]))
    as_owner.post(dataset_url("versions:freeze"))
    reply = as_owner.get(dataset_url("versions:download", number=1, form=form))
    assert reply.status_code == 409
    assert "Choose JSON lines or OpenAI" in reply.content.decode()
    reply = as_owner.get(dataset_url("versions:download", number=1, form="openai"))
    first = json.loads(next(iter(b"".join(reply.streaming_content).splitlines())))
    assert first["messages"][1] == answer | odd


def test_a_newer_file_changes_thoughts_and_keeps_those_it_does_not_have(
    as_owner, bring, run_job, url, dataset
):
    bring(lines(ROWS))
    new = json.loads(json.dumps(ROWS))
    new[0]["messages"][1]["reasoning_content"] = "Twice two."  # another thought
    del new[2]["messages"][1]["reasoning_content"]  # none, before the same answer
    del new[3]["messages"][1]["reasoning_content"]  # none, before another one
    new[3]["messages"][1]["content"] = "It is 25, I think."
    item = bring(lines(new), "newer.jsonl", mode="merge")
    assert (item.plan["changed"], item.plan["same"]) == (2, 22)
    page = compact(as_owner.get(url("detail", import_id=item.pk)))
    assert "Twice two." in page
    as_owner.post(url("decide", import_id=item.pk), {"what": "go"})
    run_job(item)
    rows = dataset.examples.order_by("number")
    assert rows[0].messages == new[0]["messages"]
    assert rows[2].messages == ROWS[2]["messages"]
    assert rows[3].messages == new[3]["messages"]
