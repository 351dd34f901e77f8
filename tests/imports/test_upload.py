"""Upload a file: permissions, rejected uploads, file names."""

import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from finetune_app.core.files import local_path
from finetune_app.datasets.models import Import
from finetune_app.datasets.text import clean_name
from finetune_app.goals.models import Goal
from finetune_app.jobs.models import Job

GOOD = b"prompt,answer\nHello,Good morning\n"


def attached(content: bytes = GOOD, name: str = "pairs.csv") -> dict:
    return {"file": SimpleUploadedFile(name, content)}


def test_an_empty_dataset_shows_the_upload_form(as_owner, dataset_url):
    page = as_owner.get(dataset_url("page")).content.decode()
    assert "Show it how you do it." in page
    assert 'enctype="multipart/form-data"' in page


def test_uploading_a_file_creates_an_import_and_its_job(as_owner, url, no_worker):
    reply = as_owner.post(url("upload"), attached())
    item = Import.objects.get()
    assert reply.url == url("detail", import_id=item.pk)
    assert item.step == Import.Step.LOOKING
    assert local_path(item.stored_name).read_bytes() == GOOD
    assert Job.objects.get().kind == "import"


def test_editors_may_upload_and_viewers_may_not(as_editor, as_viewer, url, no_worker):
    assert as_editor.post(url("upload"), attached()).status_code == 302
    assert as_viewer.post(url("upload"), attached()).status_code == 403
    assert as_viewer.get(url("add")).status_code == 403
    assert Import.objects.count() == 1


def test_a_viewer_sees_no_form_in_an_empty_dataset(as_viewer, dataset_url):
    page = as_viewer.get(dataset_url("page")).content.decode()
    assert "There are no examples yet." in page
    assert "multipart/form-data" not in page


def test_uploading_to_another_teams_goal_is_not_found(as_stranger, url):
    assert as_stranger.post(url("upload"), attached()).status_code == 404
    assert not Import.objects.exists()


def test_uploading_signed_out_redirects_to_sign_in(client, url):
    assert "sign-in" in client.post(url("upload"), attached()).url


def test_upload_requires_post(as_owner, url):
    assert as_owner.get(url("upload")).status_code == 405


def test_a_form_without_the_csrf_token_is_rejected(owner, url):
    client = Client(enforce_csrf_checks=True)
    client.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
    assert client.post(url("upload"), attached()).status_code == 403
    assert not Import.objects.exists()


def test_a_file_above_the_limit_gets_413_with_the_limit(as_owner, url, settings):
    settings.MAX_UPLOAD_BYTES = 2 * 1024 * 1024
    reply = as_owner.post(url("upload"), attached(b"x" * (3 * 1024 * 1024)))
    assert reply.status_code == 413
    assert "larger than 2 MB" in reply.content.decode()
    assert not Import.objects.exists()


def test_uploading_nothing_is_rejected(as_owner, url):
    reply = as_owner.post(url("upload"), {})
    assert reply.status_code == 400
    assert "Choose a file, or paste some rows." in reply.content.decode()


def test_an_empty_file_is_rejected(as_owner, url):
    reply = as_owner.post(url("upload"), attached(b""))
    assert reply.status_code == 400
    assert "empty" in reply.content.decode()


def test_pasted_rows_are_stored_as_a_file(as_owner, url, no_worker):
    as_owner.post(url("upload"), {"text": "prompt\tanswer\nHello\tGood morning\n"})
    item = Import.objects.get()
    assert b"Hello\tGood morning" in local_path(item.stored_name).read_bytes()


NAMES = [
    ("../../etc/passwd", "passwd"),
    ("C:\\fakepath\\emails.csv", "emails.csv"),
    ("evil\r\nSet-Cookie: x.csv", "evil Set-Cookie: x.csv"),
    ("gepj.\u202egpj", "gepj. gpj"),
    ("..", "file"),
    ("CON", "CON"),
]


@pytest.mark.parametrize(("name", "shown"), NAMES)
def test_clean_name_removes_paths_and_control_characters(name, shown):
    assert clean_name(name) == shown


def test_clean_name_keeps_the_extension_of_a_long_name():
    assert len(clean_name("x" * 300 + ".csv")) == 120
    assert clean_name("x" * 300 + ".csv").endswith("….csv")


@pytest.mark.parametrize("name", [name for name, _shown in NAMES])
def test_the_stored_path_never_depends_on_the_file_name(as_owner, url, no_worker, name):
    file = SimpleUploadedFile("plain.csv", GOOD)
    file._name = name  # what a hostile client sends
    reply = as_owner.post(url("upload"), {"file": file})
    assert reply.status_code in (302, 400)
    for item in Import.objects.all():
        assert re.fullmatch(r"uploads/[0-9a-f]{32}/upload", item.stored_name)


def test_an_upload_of_another_goal_is_not_found(as_owner, url, upload_file, team, owner):
    item = upload_file(as_owner, "pairs.csv", GOOD)
    other = Goal.objects.create(team=team, name="Another", created_by=owner)
    address = reverse("imports:detail", kwargs={"goal_id": other.pk, "import_id": item.pk})
    assert as_owner.get(address).status_code == 404


def test_deleting_the_goal_deletes_the_file(
    as_owner, upload_file, goal, django_capture_on_commit_callbacks
):
    item = upload_file(as_owner, "pairs.csv", GOOD)
    path = local_path(item.stored_name)
    with django_capture_on_commit_callbacks(execute=True):
        goal.delete()
    assert not path.exists()


def test_editors_may_remove_a_failed_import_from_the_list(
    as_editor, as_viewer, url, dataset_url, dataset
):
    item = Import.objects.create(
        dataset=dataset, step="failed", file_name="broken.xlsx", stored_name="uploads/x/upload"
    )
    forget = url("cancel", import_id=item.pk)
    assert forget in as_editor.get(dataset_url("page")).content.decode()
    assert forget not in as_viewer.get(dataset_url("page")).content.decode()
    as_editor.post(forget)
    assert not Import.objects.exists()
    assert forget not in as_editor.get(dataset_url("page")).content.decode()
