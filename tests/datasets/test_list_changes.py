"""The list of all edits, each with its undo."""

import pytest

from finetune_app.datasets.models import Status
from finetune_app.datasets.views import changes as view


def set_aside(client, url, number: int) -> None:
    client.post(url("change", number=number), {"what": "set_aside"}, follow=True)


def test_old_edit_is_listed_and_undone(as_owner, url, add_examples, dataset):
    add_examples(20)
    for number in (1, 2, 3):
        set_aside(as_owner, url, number)
    page = as_owner.get(url("changes")).content.decode()
    first = dataset.edits.order_by("pk")[0]
    assert page.index("Set No. 3 aside") < page.index("Set No. 1 aside")
    undo = url("undo", edit_id=first.pk)
    assert undo in page
    as_owner.post(undo, follow=True)
    assert dataset.examples.get(number=1).status == Status.APPROVED
    assert dataset.examples.get(number=2).status == Status.SET_ASIDE
    page = as_owner.get(url("changes")).content.decode()
    assert "Undid: Set No. 1 aside" in page
    assert undo not in page


def test_edits_are_undone_one_after_the_other(as_owner, url, add_examples, dataset):
    add_examples(12)
    before = list(dataset.examples.values_list("number", "status", "split", "messages"))
    for number in (1, 2):
        set_aside(as_owner, url, number)
        as_owner.post(url("change", number=number), {"what": "delete"})
    for edit in list(dataset.edits.order_by("-pk")):
        as_owner.post(url("undo", edit_id=edit.pk))
    assert list(dataset.examples.values_list("number", "status", "split", "messages")) == before


def test_list_has_pages(as_owner, url, add_examples, monkeypatch):
    monkeypatch.setattr(view, "LISTED", 2)
    add_examples(12)
    for number in (1, 2, 3):
        set_aside(as_owner, url, number)
    page = as_owner.get(url("changes"))
    assert "No. 1 aside" not in page.content.decode()
    assert "No. 1 aside" in as_owner.get(url("changes") + page.context["next"]).content.decode()


@pytest.mark.parametrize("query", ["", "?before=x", "?before=0"])
def test_empty_list(as_owner, url, add_examples, query):
    add_examples(12)
    assert "Nothing has been changed yet." in as_owner.get(url("changes") + query).content.decode()


def test_viewer_sees_the_list_and_stranger_gets_404(
    as_owner, as_viewer, as_stranger, url, add_examples
):
    add_examples(12)
    set_aside(as_owner, url, 1)
    page = as_viewer.get(url("changes")).content.decode()
    assert "Set No. 1 aside" in page
    assert "/undo/" not in page
    assert as_stranger.get(url("changes")).status_code == 404
    assert as_owner.post(url("changes")).status_code == 405
