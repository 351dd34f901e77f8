"""From a file to a frozen version: upload, confirm, freeze, export."""

import hashlib
import json

from finetune_app.core.files import local_path
from finetune_app.datasets.models import Import
from finetune_app.versions.models import Version
from tests.example_rows import pair


def table(count: int) -> bytes:
    lines = ["question,reply"]
    for number in range(count):
        prompt, answer = pair(number)
        lines.append(f'"{prompt}","{answer}"')
    return "\n".join(lines).encode()


def test_a_file_becomes_a_frozen_version(as_owner, upload_file, run_job, url, dataset_url, dataset):
    bad = b'\n"No answer here",\n"What is 1+1?","NA"\n"Ticket number?",00712\n'
    item = run_job(upload_file(as_owner, "shop emails.csv", table(60) + bad))
    assert item.step == Import.Step.CONFIRM
    assert (item.mapping["prompt"], item.mapping["answer"]) == ("question", "reply")
    page = as_owner.get(url("detail", import_id=item.pk)).content.decode()
    assert "My puncture broke on the way to work" in page
    assert "Add 62 examples" in page

    form = {"prompt": "question", "answer": "reply", "add": "1"}
    assert as_owner.post(url("confirm", import_id=item.pk), form).status_code == 302
    item = run_job(item)
    assert item.step == Import.Step.DONE
    assert (item.rows_kept, item.rejected_count) == (62, 1)
    page = as_owner.get(url("detail", import_id=item.pk)).content.decode()
    assert "62 examples were added." in page
    assert "“reply” is empty, so there is nothing to learn." in page
    answers = dataset.examples.values_list("answer", flat=True)
    assert {"NA", "00712"} <= set(answers)

    page = as_owner.get(dataset_url("page")).content.decode()
    assert "Freeze version 1" in page
    reply = as_owner.post(dataset_url("versions:freeze"), follow=True)
    assert "Version 1 is frozen." in reply.content.decode()
    version = Version.objects.get()
    content = local_path(version.stored_name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == version.sha256
    rows = [json.loads(line) for line in content.splitlines()]
    assert len(rows) == 62
    assert {row["split"] for row in rows} == {"train", "validation", "test"}
    assert rows[0]["messages"][1] == {"role": "assistant", "content": pair(0)[1]}
    assert rows[0]["source"] == "shop emails.csv"


def test_cancelling_an_import_adds_nothing_and_deletes_the_file(
    as_owner, upload_file, run_job, url, dataset
):
    item = run_job(upload_file(as_owner, "emails.csv", table(12)))
    upload = local_path(item.stored_name)
    assert upload.exists()
    as_owner.post(url("cancel", import_id=item.pk))
    assert not Import.objects.exists()
    assert not dataset.examples.exists()
    assert not upload.exists()


def test_exporting_a_version_gives_the_imported_bytes(
    as_owner, upload_file, run_job, url, dataset_url
):
    """With semicolons, Windows-1252, CR LF, quotes and line breaks in cells."""
    lines = ["prompt;answer"]
    for n in range(30):
        prompt, answer = pair(n)
        lines.append(f'{prompt} Größe?;"Nr. {n:05}; ""ja"",\n{answer} für 20 €"')
    content = "".join(f"{line}\r\n" for line in lines).encode("cp1252")
    item = run_job(upload_file(as_owner, "emails.csv", content))
    form = {"prompt": "prompt", "answer": "answer", "add": "1"}
    as_owner.post(url("confirm", import_id=item.pk), form)
    assert run_job(item).rows_kept == 30
    as_owner.post(dataset_url("versions:freeze"))
    asked = {"encoding": "cp1252", "delimiter": ";", "columns": "pairs", "cells": "exact"}
    reply = as_owner.get(dataset_url("versions:download", number=1, form="csv"), asked)
    assert b"".join(reply.streaming_content) == content
