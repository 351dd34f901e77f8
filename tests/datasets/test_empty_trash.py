"""Emptying the trash."""

import pytest
from django.utils.timezone import now

from finetune_app.datasets.models import Change, Edit, Example, Suggestion
from finetune_app.datasets.services import trash
from finetune_app.versions import reader
from finetune_app.versions.services import freeze


@pytest.fixture
def rows(add_examples, as_owner, url):
    dataset = add_examples(60)
    as_owner.post(url("bulk"), {"what": "delete", "row": ["3", "7", "8"]})
    return dataset.examples


def test_confirmation_shows_the_count_and_that_no_version_holds_them(as_owner, url, rows):
    assert url("empty") in as_owner.get(url("page") + "?status=trash").content.decode()
    page = as_owner.get(url("empty")).content.decode()
    assert "Delete 3 examples for good?" in page
    assert "no model has learned from them" in page
    assert rows.count() == 60


def test_confirmation_names_the_versions_that_hold_them(
    as_owner, url, add_examples, dataset, owner
):
    add_examples(60)
    version, _new = freeze(dataset=dataset, by=owner)
    as_owner.post(url("bulk"), {"what": "delete", "row": ["3", "7"]})
    page = as_owner.get(url("empty")).content.decode()
    assert url("versions:detail", number=version.number) in page
    assert "holds 2 examples of these." in page
    assert "No training has learned from it." in page


@pytest.mark.parametrize("few", [0, reader.FEW], ids=["read whole", "searched"])
def test_each_version_says_how_many_it_holds(add_examples, dataset, owner, monkeypatch, few):
    monkeypatch.setattr(reader, "FEW", few)
    add_examples(60)
    first, _new = freeze(dataset=dataset, by=owner)
    gone = dataset.examples.filter(number__in=[1, 2, 30, 31, 59, 60])
    gone.update(status="set_aside")
    second, _new = freeze(dataset=dataset, by=owner)
    dataset.examples.update(deleted_at=now())
    dataset.refresh_from_db()
    assert reader.versions_with_trash(dataset) == [(second, 54), (first, 60)]
    dataset.examples.exclude(number__in=[1, 2, 3, 60]).update(deleted_at=None)
    assert reader.versions_with_trash(dataset) == [(second, 1), (first, 4)]


def test_rows_are_deleted_for_good(as_owner, url, rows):
    example = rows.get(number=7)
    Suggestion.objects.create(example=example, answer="x", source="base")
    reply = as_owner.post(url("empty"), follow=True)
    assert "The trash is empty." in reply.content.decode()
    assert not Example.objects.filter(number__in=[3, 7, 8]).exists()
    assert not Change.objects.filter(example_id=example.pk).exists()
    assert rows.count() == 57
    assert "Trash" not in as_owner.get(url("page")).content.decode().split("<table")[0]


def test_undo_reports_deleted_rows(as_owner, url, rows):
    edit = Edit.objects.latest("pk")
    as_owner.post(url("empty"))
    reply = as_owner.post(url("undo", edit_id=edit.pk), follow=True)
    assert "3 examples were changed since" in reply.content.decode()
    assert rows.count() == 57


def test_large_trash_is_emptied_in_parts(as_owner, url, rows, monkeypatch):
    monkeypatch.setattr(trash, "MAX_QUERY_KEYS", 2)
    monkeypatch.setattr(trash, "MAX_REQUEST_SECONDS", 0)
    assert "1 example left" in as_owner.post(url("empty")).content.decode()
    reply = as_owner.post(url("empty"), headers={"HX-Request": "true"})
    assert reply["HX-Redirect"] == url("page")
    assert rows.count() == 57


def test_empty_trash_redirects_to_the_table(as_owner, url, add_examples):
    add_examples(12)
    assert as_owner.get(url("empty")).status_code == 302


def test_only_editors_of_the_team_may_do_it(as_viewer, as_stranger, url, rows):
    for ask in (as_viewer.get, as_viewer.post):
        assert ask(url("empty")).status_code == 403
    assert as_stranger.post(url("empty")).status_code == 404
    assert rows.count() == 60
