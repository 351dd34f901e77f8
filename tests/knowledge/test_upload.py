"""Bringing documents: several at once, each with its own fate."""

from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from finetune_app.core.errors import PlainError
from finetune_app.jobs.models import Job
from finetune_app.knowledge.models import Document, Knowledge
from tests.knowledge.conftest import PUMP, SHOP, add


def file(name: str, content: str = PUMP) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content.encode())


def test_several_at_once_are_kept_and_read(as_editor, url, data_dir):
    reply = as_editor.post(
        url("add"), {"documents": [file("pump.md"), file("shop.md", SHOP)]}, follow=True
    )
    assert "2 documents added." in reply.content.decode()
    assert sorted(Document.objects.values_list("name", flat=True)) == ["pump.md", "shop.md"]
    for document in Document.objects.all():
        assert (data_dir / document.upload).read_text() in (PUMP, SHOP)
    assert Job.objects.get(kind="index").spec == {
        "knowledge": Knowledge.objects.get().pk,
        "number": 1,
    }


def test_one_that_cannot_be_taken_leaves_the_others(as_editor, url):
    files = [file("pump.md"), file("empty.md", ""), file("same.md")]
    page = as_editor.post(url("add"), {"documents": files}, follow=True).content.decode()
    assert "“empty.md” is empty" in page
    assert "“same.md” is here already, as “pump.md”" in page
    assert Document.objects.count() == 1


def test_a_newer_version_does_not_hide_the_older(as_editor, url):
    as_editor.post(url("add"), {"documents": [file("prices.md", "# Seals\n\nA seal costs 3.")]})
    newer = [file("prices.md", "# Seals\n\nA seal costs 4.")]
    page = as_editor.post(url("add"), {"documents": newer}, follow=True).content.decode()
    assert "several documents called “prices.md” now" in page
    assert Document.objects.count() == 2


def test_a_hostile_name_names_no_path(as_editor, url, data_dir):
    as_editor.post(url("add"), {"documents": [file("../../etc/pass\u202ewd\r\n.md")]})
    document = Document.objects.get()
    assert "/" not in document.name
    assert "\n" not in document.name
    kept = {path.name for path in Path(data_dir / "knowledge").rglob("*") if path.is_file()}
    assert kept == {"upload"}


def test_what_is_too_large_is_said_and_nothing_kept(as_editor, url, settings, data_dir):
    settings.MAX_UPLOAD_BYTES = 500
    reply = as_editor.post(url("add"), {"documents": [file("long.md", "x" * 900)]})
    assert reply.status_code == 413
    assert "more than 200 MB at once" in reply.content.decode()
    assert not Document.objects.exists()


def test_a_team_has_so_much_room(goal, owner, now, settings):
    settings.MAX_TEAM_DOCUMENT_BYTES = len(PUMP) + 10
    now(add, goal, owner)
    with pytest.raises(PlainError, match="Delete some first"):
        add(goal, owner, "shop.md", SHOP)


def test_a_full_disk_is_said_before(goal, owner, monkeypatch):
    from finetune_app.knowledge import services

    class Full:
        free = 1000

    monkeypatch.setattr(services.shutil, "disk_usage", lambda _folder: Full)
    with pytest.raises(PlainError, match="not enough room"):
        add(goal, owner)


def test_nothing_chosen_is_asked_again(as_editor, url):
    reply = as_editor.post(url("add"), {})
    assert reply.status_code == 422
    assert "Choose one document or several." in reply.content.decode()


def test_without_the_token_nothing_comes_in(owner, url):
    from django.test import Client

    browser = Client(enforce_csrf_checks=True)
    browser.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
    assert browser.post(url("add"), {"documents": [file("pump.md")]}).status_code == 403
    assert not Document.objects.exists()


def test_a_viewer_brings_nothing(as_viewer, url):
    assert as_viewer.post(url("add"), {"documents": [file("pump.md")]}).status_code == 403
    assert 'input type="file"' not in as_viewer.get(url("page")).content.decode()


def test_a_stranger_finds_no_such_page(as_stranger, url):
    assert as_stranger.get(url("page")).status_code == 404
    assert as_stranger.post(url("add"), {"documents": [file("pump.md")]}).status_code == 404
