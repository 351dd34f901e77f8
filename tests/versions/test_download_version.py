"""Downloads of a version: exact in every format, or as a table without formulas."""

import csv
import io
import json

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient

from finetune_app.core.files import local_path
from finetune_app.datasets.example_export import FORMATS
from finetune_app.versions.models import Version
from tests.example_rows import conversation, pair
from worker.channel import Channel
from worker.imports.inspect import inspect_file
from worker.imports.read import read_rows

FORMULAS = ['=HYPERLINK("http://evil.example")', "+1+1", "-2", "@SUM(A1)", "\tx", "\rx"]


@pytest.fixture
def version(as_owner, url, add_examples) -> Version:
    rows = [{"messages": conversation(*pair(n))} for n in range(60)]
    for row, formula in zip(rows, FORMULAS, strict=False):
        row["messages"][-1]["content"] = formula
    add_examples(rows=rows)
    as_owner.post(url("versions:freeze"))
    return Version.objects.get()


def download(client, url, form: str, **query: str) -> tuple[bytes, str]:
    reply = client.get(url("versions:download", number=1, form=form), query)
    assert reply.status_code == 200
    return b"".join(reply.streaming_content), reply["Content-Disposition"]


class SilentChannel(Channel):
    def emit(self, event: str, **fields: object) -> None: ...
    def stopping(self) -> bool:
        return False

    def check(self) -> None: ...


def import_again(tmp_path, content: bytes) -> list[list[dict]]:
    """The conversations of a file, read like an upload."""
    path = tmp_path / "upload"
    path.write_bytes(content)
    inspection = inspect_file(path, "file", {}, SilentChannel())
    read_rows(path, tmp_path, inspection["shape"], inspection["mapping"], SilentChannel())
    lines = (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["messages"] for line in lines]


def test_json_lines_are_the_frozen_file(as_viewer, url, version):
    content, disposition = download(as_viewer, url, "jsonl")
    assert content == local_path(version.stored_name).read_bytes()
    assert disposition == 'attachment; filename="examples-version-1.jsonl"'


@pytest.mark.parametrize("form", [form for form in FORMATS if form not in ("csv", "tsv")])
def test_every_format_can_be_imported_again(as_viewer, url, version, tmp_path, form):
    content, disposition = download(as_viewer, url, form)
    assert disposition.endswith(f'{FORMATS[form]}"')
    lines = local_path(version.stored_name).read_text(encoding="utf-8").splitlines()
    assert import_again(tmp_path, content) == [json.loads(line)["messages"] for line in lines]


def test_csv_is_safe_and_complete(as_viewer, url, version):
    content, disposition = download(as_viewer, url, "csv")
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert rows[0] == ["number", "split", "prompt", "answer"]
    assert len(rows) == 61
    for row, formula in zip(rows[1:], FORMULAS, strict=False):
        assert row[3] == "'" + formula
    assert rows[8][3] == pair(7)[1]
    assert "attachment" in disposition


def test_table_has_the_requested_layout(as_viewer, url, version):
    query = {
        "encoding": "utf-16",
        "delimiter": ";",
        "lines": "lf",
        "quotes": "all",
        "columns": "pairs",
        "cells": "exact",
    }
    content, _disposition = download(as_viewer, url, "csv", **query)
    text = content.decode("utf-16")
    assert text.startswith('"prompt";"answer"\n"')
    assert text.count("\r") == 1  # inside an answer
    assert '"+1+1"\n' in text


def test_tab_delimiter_makes_a_tsv_file(as_viewer, url, version):
    content, disposition = download(as_viewer, url, "tsv")
    assert content.decode("utf-8-sig").startswith("number\tsplit\tprompt\tanswer\r\n")
    assert disposition.endswith('.tsv"')
    assert download(as_viewer, url, "csv", delimiter="\t")[1].endswith('.tsv"')


def test_excel_cells_are_text(as_viewer, url, version, tmp_path):
    """Cells are text, and those that look like formulas have Excel's quote prefix."""
    content, _disposition = download(as_viewer, url, "xlsx")
    import zipfile

    archive = zipfile.ZipFile(io.BytesIO(content))
    assert b"<f>" not in archive.read("xl/worksheets/sheet1.xml")
    assert b'quotePrefix="1"' in archive.read("xl/styles.xml")


def test_page_offers_every_format(as_viewer, url, version):
    page = as_viewer.get(url("versions:detail", number=1)).content.decode()
    for form in FORMATS:
        assert url("versions:download", number=1, form=form) in page


def test_unknown_layout_is_rejected(as_owner, url, version):
    address = url("versions:download", number=1, form="csv")
    assert as_owner.get(address, {"encoding": "zip"}).status_code == 400
    assert as_owner.get(address, {"delimiter": "x"}).status_code == 400


def test_unencodable_character_is_an_error_before_the_download(as_owner, url, add_examples):
    rows = [{"messages": conversation(pair(n)[0], "ł")} for n in range(60)]
    add_examples(rows=rows)
    as_owner.post(url("versions:freeze"))
    reply = as_owner.get(url("versions:download", number=1, form="csv"), {"encoding": "cp1252"})
    assert reply.status_code == 409
    assert "which CP1252 cannot write" in reply.content.decode()


def test_unknown_format_and_stranger_get_404(as_owner, as_stranger, client, url, version):
    assert as_owner.get(url("versions:download", number=1, form="exe")).status_code == 404
    assert as_owner.get(url("versions:download", number=2, form="csv")).status_code == 404
    assert as_owner.post(url("versions:download", number=1, form="csv")).status_code == 405
    assert as_stranger.get(url("versions:download", number=1, form="csv")).status_code == 404
    assert client.get(url("versions:download", number=1, form="csv")).status_code == 302


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_download_is_streamed_under_asgi(as_viewer, url, version, form):
    """Installations run on ASGI, while the test client uses WSGI by default."""
    async_client = AsyncClient()
    async_client.cookies = as_viewer.cookies
    reply = async_to_sync(async_client.get)(url("versions:download", number=1, form=form))
    assert reply.status_code == 200
    assert reply.is_async

    async def content() -> bytes:
        return b"".join([piece async for piece in reply.streaming_content])

    assert async_to_sync(content)() == download(as_viewer, url, form)[0]
