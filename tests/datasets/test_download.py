"""A version leaves in every format that comes in, exact, or as a table that no spreadsheet runs."""

import csv
import io
import json

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient

from finetune_app.core.files import local_path
from finetune_app.datasets.example_export import FORMATS
from finetune_app.versions.models import Version
from tests.datasets.conftest import conversation, pair
from worker.channel import Channel
from worker.imports.inspect import inspect_file
from worker.imports.read import read_rows

FORMULAS = ['=HYPERLINK("http://evil.example")', "+1+1", "-2", "@SUM(A1)", "\tx", "\rx"]


@pytest.fixture
def version(as_owner, url, bring) -> Version:
    rows = [{"messages": conversation(*pair(n))} for n in range(60)]
    for row, formula in zip(rows, FORMULAS, strict=False):
        row["messages"][-1]["content"] = formula
    bring(rows=rows)
    as_owner.post(url("versions:freeze"))
    return Version.objects.get()


def fetched(client, url, form: str, **query: str) -> tuple[bytes, str]:
    reply = client.get(url("versions:download", number=1, form=form), query)
    assert reply.status_code == 200
    return b"".join(reply.streaming_content), reply["Content-Disposition"]


class Quiet(Channel):
    def emit(self, event: str, **fields: object) -> None: ...
    def stopping(self) -> bool:
        return False

    def check(self) -> None: ...


def brought_back(tmp_path, content: bytes) -> list[list[dict]]:
    """The conversations of a file, read as any other upload is."""
    path = tmp_path / "upload"
    path.write_bytes(content)
    seen = inspect_file(path, "file", {}, Quiet())
    read_rows(path, tmp_path, seen["shape"], seen["mapping"], Quiet())
    lines = (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["messages"] for line in lines]


def test_json_lines_are_the_file_itself(as_viewer, url, version):
    content, disposition = fetched(as_viewer, url, "jsonl")
    assert content == local_path(version.stored_name).read_bytes()
    assert disposition == 'attachment; filename="examples-version-1.jsonl"'


@pytest.mark.parametrize("form", [form for form in FORMATS if form not in ("csv", "tsv")])
def test_every_format_brings_back_what_it_took_out(as_viewer, url, version, tmp_path, form):
    content, disposition = fetched(as_viewer, url, form)
    assert disposition.endswith(f'{FORMATS[form]}"')
    lines = local_path(version.stored_name).read_text(encoding="utf-8").splitlines()
    assert brought_back(tmp_path, content) == [json.loads(line)["messages"] for line in lines]


def test_csv_is_safe_and_complete(as_viewer, url, version):
    content, disposition = fetched(as_viewer, url, "csv")
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert rows[0] == ["number", "split", "prompt", "answer"]
    assert len(rows) == 61
    for row, formula in zip(rows[1:], FORMULAS, strict=False):
        assert row[3] == "'" + formula
    assert rows[8][3] == pair(7)[1]
    assert "attachment" in disposition


def test_a_table_is_written_as_it_is_asked_for(as_viewer, url, version):
    query = {
        "encoding": "utf-16",
        "delimiter": ";",
        "lines": "lf",
        "quotes": "all",
        "columns": "pairs",
        "cells": "exact",
    }
    content, _disposition = fetched(as_viewer, url, "csv", **query)
    text = content.decode("utf-16")
    assert text.startswith('"prompt";"answer"\n"')
    assert text.count("\r") == 1  # the one that an answer holds
    assert '"+1+1"\n' in text


def test_tabs_make_a_tsv(as_viewer, url, version):
    content, disposition = fetched(as_viewer, url, "tsv")
    assert content.decode("utf-8-sig").startswith("number\tsplit\tprompt\tanswer\r\n")
    assert disposition.endswith('.tsv"')
    assert fetched(as_viewer, url, "csv", delimiter="\t")[1].endswith('.tsv"')


def test_excel_runs_nothing(as_viewer, url, version, tmp_path):
    """Cells are text, and those that would be run when typed again carry Excel's own mark."""
    content, _disposition = fetched(as_viewer, url, "xlsx")
    import zipfile

    archive = zipfile.ZipFile(io.BytesIO(content))
    assert b"<f>" not in archive.read("xl/worksheets/sheet1.xml")
    assert b'quotePrefix="1"' in archive.read("xl/styles.xml")


def test_the_page_offers_every_format(as_viewer, url, version):
    page = as_viewer.get(url("versions:detail", number=1)).content.decode()
    for form in FORMATS:
        assert url("versions:download", number=1, form=form) in page


def test_what_is_not_offered_is_refused(as_owner, url, version):
    address = url("versions:download", number=1, form="csv")
    assert as_owner.get(address, {"encoding": "zip"}).status_code == 400
    assert as_owner.get(address, {"delimiter": "x"}).status_code == 400


def test_an_encoding_that_lacks_a_character_is_said_before_anything_is_sent(as_owner, url, bring):
    rows = [{"messages": conversation(pair(n)[0], "ł")} for n in range(60)]
    bring(rows=rows)
    as_owner.post(url("versions:freeze"))
    reply = as_owner.get(url("versions:download", number=1, form="csv"), {"encoding": "cp1252"})
    assert reply.status_code == 409
    assert "which CP1252 cannot write" in reply.content.decode()


def test_other_forms_and_other_people_get_nothing(as_owner, as_stranger, client, url, version):
    assert as_owner.get(url("versions:download", number=1, form="exe")).status_code == 404
    assert as_owner.get(url("versions:download", number=2, form="csv")).status_code == 404
    assert as_owner.post(url("versions:download", number=1, form="csv")).status_code == 405
    assert as_stranger.get(url("versions:download", number=1, form="csv")).status_code == 404
    assert client.get(url("versions:download", number=1, form="csv")).status_code == 302


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_a_download_goes_out_in_pieces_as_it_is_served(as_viewer, url, version, form):
    """Under ASGI, which the installation runs on; the test client otherwise speaks WSGI."""
    there = AsyncClient()
    there.cookies = as_viewer.cookies
    reply = async_to_sync(there.get)(url("versions:download", number=1, form=form))
    assert reply.status_code == 200
    assert reply.is_async

    async def content() -> bytes:
        return b"".join([piece async for piece in reply.streaming_content])

    assert async_to_sync(content)() == fetched(as_viewer, url, form)[0]
