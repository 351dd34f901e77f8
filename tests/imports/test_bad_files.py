"""Upload hostile and broken files: the page gives a reason."""

import io
import json
import os
import zipfile
from dataclasses import replace

import pytest

from finetune_app.datasets.models import Import
from finetune_app.imports.jobs import ImportHandler

GOOD = b"prompt,answer\nHello,Good morning\n"
FILES = {
    "zip": (b"PK\x03\x04" + os.urandom(500), "failed", "cut off or damaged"),
    "zeros": (b"\x00" * 400, "failed", "The file is empty"),
    "noise": (bytes(range(128, 256)) * 40, "confirm", "Nothing was added yet."),
    "header only": (b"prompt,answer\n", "failed", "no rows below"),
    "10k columns": (b"c," * 10_000 + b"\n" + GOOD, "failed", "We could not read"),
    "deep": (b'[{"a":' + b"[" * 100_000, "failed", "We could not read"),
    "markup": (
        b"prompt,answer\n<script>alert(1)</script>,<svg onload=alert(1)>\n",
        "confirm",
        "&lt;script&gt;alert(1)",
    ),
    "formula": (b'prompt,answer\n=1+1,"=HYPERLINK(""http://evil.example"")"\n', "confirm", "=1+1"),
    "template": (b"prompt,answer\n{{ 7*7 }},{% for x in y %}\n", "confirm", "{{ 7*7 }}"),
    "right to left": ("prompt,answer\n\u202eabc,שלום\n".encode(), "confirm", "שלום"),
}


@pytest.mark.parametrize("case", FILES)
def test_uploading_a_bad_file_shows_the_reason(as_owner, upload_file, run_job, url, dataset, case):
    content, step, words = FILES[case]
    item = run_job(upload_file(as_owner, "file.csv", content))
    assert item.step == step
    reply = as_owner.get(url("detail", import_id=item.pk))
    assert reply.status_code == 200
    page = reply.content.decode()
    assert words in page
    assert "<script>alert" not in page
    assert "<svg onload" not in page
    assert not dataset.examples.exists()


def test_read_another_way_is_offered_for_text_files(as_owner, upload_file, run_job, url):
    for content, offered in [
        (b"\x89PNG\r\n\x1a\n" + os.urandom(400), False),
        (b" \n", False),
        (bytes(range(32)) * 40, True),
        (b"prompt,answer\n", True),
    ]:
        item = run_job(upload_file(as_owner, "file.csv", content))
        assert item.step == Import.Step.FAILED
        page = as_owner.get(url("detail", import_id=item.pk)).content.decode()
        assert ("Read the file another way" in page) == offered, content[:20]


def test_another_file_of_a_zip_can_be_chosen_after_a_failure(as_owner, upload_file, run_job, url):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("good.csv", GOOD)
        archive.writestr("photo.csv", b"\x89PNG\r\n\x1a\n" + os.urandom(400))
    item = run_job(upload_file(as_owner, "both.zip", packed.getvalue()))
    assert item.step == Import.Step.CONFIRM
    for member, step in (("photo.csv", Import.Step.FAILED), ("good.csv", Import.Step.CONFIRM)):
        page = as_owner.get(url("detail", import_id=item.pk)).content.decode()
        assert f'<option value="{member}"' in page
        as_owner.post(url("inspect_again", import_id=item.pk), {"member": member})
        item = run_job(item)
        assert item.step == step


HOSTILE = (
    "<svg onload=alert(1)>",
    "[here](javascript:alert(1))",
    "<a href='javascript:alert(1)'>x</a>",
    "![beacon](http://evil.example/x.png)",
    "<img src=http://evil.example/x.png>",
    '<div hx-get="/sign-out/" hx-trigger="load">',
    "{% for i in range(10**9) %}{% endfor %}",
    '=HYPERLINK("http://evil.example")',
    "../../etc/passwd",
    "CON",
    "\u202egpj.exe",
    "</textarea>",
)


def test_hostile_rows_are_shown_as_text_on_every_page(
    as_owner, upload_file, run_job, url, dataset_url, dataset
):
    rows = "".join(
        json.dumps({"prompt": f"{text} {n}", "answer": text}) + "\n"
        for n, text in enumerate(HOSTILE)
    )
    item = run_job(upload_file(as_owner, "file.jsonl", rows.encode()))
    confirm = as_owner.get(url("detail", import_id=item.pk)).content.decode()
    form = {"prompt": "prompt", "answer": "answer", "add": "1"}
    as_owner.post(url("confirm", import_id=item.pk), form)
    item = run_job(item)
    assert [example.answer for example in dataset.examples.order_by("number")] == list(HOSTILE)
    pages = [confirm, as_owner.get(url("detail", import_id=item.pk)).content.decode()]
    pages += [as_owner.get(dataset_url("page")).content.decode()]
    pages += [
        as_owner.get(dataset_url("example", number=n + 1)).content.decode()
        for n in range(len(HOSTILE))
    ]
    for page in pages:
        for raw in (
            "<svg onload",
            'href="javascript:',
            "href='javascript:",
            "evil.example/x.png>",
            'src="http://evil',
            '<div hx-get="/sign-out/"',
            "</textarea></textarea>",
        ):
            assert raw not in page


def test_a_killed_child_fails_the_import_without_rows(
    as_owner, upload_file, run_job, url, dataset, settings, monkeypatch
):
    """As when the machine runs out of memory."""
    dying = replace(ImportHandler.kind, runner="tests.imports.dying_child")
    monkeypatch.setattr(ImportHandler, "kind", dying)
    settings.MAX_ATTEMPTS = 1
    item = run_job(upload_file(as_owner, "file.csv", GOOD))
    assert item.step == Import.Step.FAILED
    page = as_owner.get(url("detail", import_id=item.pk)).content.decode()
    assert "We could not read file.csv" in page
    assert "Choose another file" in page
    assert not dataset.examples.exists()
