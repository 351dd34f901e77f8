"""Upload documents, several at once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.core.files.storage import FileSystemStorage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection

from finetune_app.core.errors import PlainError
from finetune_app.jobs.models import Job
from finetune_app.knowledge.models import Document, Knowledge
from tests.knowledge.conftest import PUMP, SHOP, add


def file(name: str, content: str = PUMP) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content.encode())


def test_upload_several_stores_them_and_queues_a_job(as_editor, url, data_dir):
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


def test_upload_bad_file_adds_the_others(as_editor, url):
    files = [file("pump.md"), file("empty.md", ""), file("same.md")]
    page = as_editor.post(url("add"), {"documents": files}, follow=True).content.decode()
    assert "“empty.md” is empty" in page
    assert "“same.md” is here already, as “pump.md”" in page
    assert Document.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_upload_the_same_file_twice_at_once_stores_it_once(goal, owner, data_dir, monkeypatch):
    def uploads() -> set[Path]:
        return set((data_dir / "knowledge").rglob("upload"))

    both, before = threading.Barrier(2, timeout=10), uploads()
    save = FileSystemStorage.save

    def save_together(storage, name, content):
        both.wait()
        return save(storage, name, content)

    def upload(name: str) -> object:
        try:
            return add(goal, owner, name)
        except PlainError as problem:
            return problem
        finally:
            connection.close()

    monkeypatch.setattr(FileSystemStorage, "save", save_together)
    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(upload, ["pump.md", "pump (1).md"]))
    assert {type(end) for end in ends} == {Document, PlainError}
    assert Document.objects.count() == 1
    assert len(uploads() - before) == 1


def test_upload_same_name_warns_about_both(as_editor, url):
    as_editor.post(url("add"), {"documents": [file("prices.md", "# Seals\n\nA seal costs 3.")]})
    newer = [file("prices.md", "# Seals\n\nA seal costs 4.")]
    page = as_editor.post(url("add"), {"documents": newer}, follow=True).content.decode()
    assert "several documents called “prices.md” now" in page
    assert Document.objects.count() == 2


def test_upload_name_with_a_path_is_cleaned(as_editor, url, data_dir):
    as_editor.post(url("add"), {"documents": [file("../../etc/pass\u202ewd\r\n.md")]})
    document = Document.objects.get()
    assert "/" not in document.name
    assert "\n" not in document.name
    stored = {path.name for path in Path(data_dir / "knowledge").rglob("*") if path.is_file()}
    assert stored == {"upload"}


def test_upload_too_large_is_rejected(as_editor, url, settings, data_dir):
    settings.MAX_UPLOAD_BYTES = 1024**2
    reply = as_editor.post(url("add"), {"documents": [file("long.md", "x" * 1_100_000)]})
    assert reply.status_code == 413
    assert "more than 1 MB at once" in reply.content.decode()
    assert not Document.objects.exists()


def test_upload_beyond_the_teams_limit_is_rejected(goal, owner, committed, settings):
    settings.MAX_TEAM_DOCUMENT_BYTES = len(PUMP) + 10
    committed(add, goal, owner)
    with pytest.raises(PlainError, match="Delete some first"):
        add(goal, owner, "shop.md", SHOP)


def test_upload_to_a_full_disk_is_rejected(goal, owner, monkeypatch):
    class Full:
        free, total = 1000, 2000

    monkeypatch.setattr("shutil.disk_usage", lambda _folder: Full)
    with pytest.raises(PlainError, match="not enough room"):
        add(goal, owner)


def test_upload_without_a_file_is_rejected(as_editor, url):
    reply = as_editor.post(url("add"), {})
    assert reply.status_code == 422
    assert "Choose one document or several." in reply.content.decode()


def test_upload_without_csrf_token_is_rejected(owner, url):
    from django.test import Client

    browser = Client(enforce_csrf_checks=True)
    browser.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
    assert browser.post(url("add"), {"documents": [file("pump.md")]}).status_code == 403
    assert not Document.objects.exists()


def test_viewer_cannot_upload(as_viewer, url):
    assert as_viewer.post(url("add"), {"documents": [file("pump.md")]}).status_code == 403
    assert 'input type="file"' not in as_viewer.get(url("page")).content.decode()


def test_stranger_cannot_upload(as_stranger, url):
    assert as_stranger.get(url("page")).status_code == 404
    assert as_stranger.post(url("add"), {"documents": [file("pump.md")]}).status_code == 404
