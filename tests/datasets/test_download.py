"""A version leaves as JSON lines, exact, or as CSV that no spreadsheet runs."""

import csv
import io

import pytest

from finetune_app.core.files import local_path
from finetune_app.datasets.models import Version
from tests.datasets.conftest import conversation, pair

FORMULAS = ["=HYPERLINK(\"http://evil.example\")", "+1+1", "-2", "@SUM(A1)", "\tx", "\rx"]


@pytest.fixture
def version(as_owner, url, bring) -> Version:
    rows = [{"messages": conversation(*pair(n))} for n in range(60)]
    for row, formula in zip(rows, FORMULAS, strict=False):
        row["messages"][-1]["content"] = formula
    bring(rows=rows)
    as_owner.post(url("freeze"))
    return Version.objects.get()


def fetched(client, url, form: str) -> tuple[bytes, str]:
    reply = client.get(url("download", number=1, form=form))
    assert reply.status_code == 200
    return b"".join(reply.streaming_content), reply["Content-Disposition"]


def test_json_lines_are_the_file_itself(as_viewer, url, version):
    content, disposition = fetched(as_viewer, url, "jsonl")
    assert content == local_path(version.stored_name).read_bytes()
    assert "attachment" in disposition


def test_csv_is_safe_and_complete(as_viewer, url, version):
    content, disposition = fetched(as_viewer, url, "csv")
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert rows[0] == ["number", "split", "prompt", "answer", "messages"]
    assert len(rows) == 61
    for row, formula in zip(rows[1:], FORMULAS, strict=False):
        assert row[3] == "'" + formula
    assert rows[8][3] == pair(7)[1]
    assert "attachment" in disposition


def test_other_forms_and_other_people_get_nothing(as_owner, as_stranger, client, url, version):
    assert as_owner.get(url("download", number=1, form="exe")).status_code == 404
    assert as_owner.get(url("download", number=2, form="csv")).status_code == 404
    assert as_owner.post(url("download", number=1, form="csv")).status_code == 405
    assert as_stranger.get(url("download", number=1, form="csv")).status_code == 404
    assert client.get(url("download", number=1, form="csv")).status_code == 302
