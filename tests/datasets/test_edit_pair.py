"""Pairs in the table: found by a filter, both answers edited, the worse one removed again."""

import pytest

from finetune_app.datasets.models import Edit, Example
from finetune_app.datasets.services import undo
from tests.datasets.table_page import get, numbers
from tests.page_text import compact


@pytest.fixture
def row(add_examples) -> Example:
    """A pair among other examples."""
    row = add_examples(60).examples.get(number=7)
    row.rejected = "Go away!"
    row.save()
    return row


def form(row: Example, **more: str) -> dict[str, str]:
    row.refresh_from_db()
    return {"changed_at": row.changed_at.isoformat(), "message-1": row.answer, **more}


def test_the_filter_shows_pairs_and_is_part_of_the_address(as_viewer, url, row):
    page = get(as_viewer, url, "?pairs=1")
    assert numbers(page) == [7]
    assert "Worse answer" in page
    assert "Go away!" in page
    assert "Pairs<span>1</span>" in get(as_viewer, url)
    assert numbers(get(as_viewer, url, "?pairs=1&split=test&q=nothing")) == []


def test_pairs_in_the_trash_are_not_listed(as_owner, url, row):
    as_owner.post(url("change", number=7), {"what": "delete"})
    page = get(as_owner, url, "?pairs=1")
    assert numbers(page) == []
    assert "A pair has a better and a worse answer to the same question." in page


def test_bulk_changes_follow_the_filter_and_keep_the_worse_answer(as_owner, url, row, dataset):
    as_owner.post(url("bulk") + "?pairs=1", {"what": "set_aside", "which": "all"})
    assert list(dataset.examples.filter(status="set_aside")) == [row]
    row.refresh_from_db()
    assert row.rejected == "Go away!"


def test_without_pairs_the_page_says_what_they_are_good_for(as_viewer, url, add_examples):
    add_examples(12)
    page = get(as_viewer, url, "?pairs=1")
    assert "They teach tone and style" in page
    assert "First let the model learn the skill from examples" in page


def test_both_answers_are_side_by_side(as_owner, as_viewer, url, row):
    page = compact(as_owner.get(url("example", number=7)))
    assert "Better answer" in page
    assert ">Go away!</textarea>" in page
    assert "Remove the worse answer" in page
    page = compact(as_viewer.get(url("example", number=7)))
    assert ">Go away!</textarea>" in page
    assert "Remove the worse answer" not in page


def test_the_worse_answer_is_changed_and_undo_restores_it(as_owner, owner, url, row):
    as_owner.post(url("example", number=7), form(row, rejected="Not today.\r\nNo."))
    row.refresh_from_db()
    assert row.rejected == "Not today.\nNo."
    history = compact(as_owner.get(url("history", number=7)))
    assert "Go away!" in history
    undo(edit=Edit.objects.latest("pk"), by=owner)
    row.refresh_from_db()
    assert row.rejected == "Go away!"


def test_a_form_without_the_worse_answer_keeps_it(as_owner, url, row):
    as_owner.post(url("example", number=7), form(row) | {"message-1": "topic: bell"})
    row.refresh_from_db()
    assert (row.answer, row.rejected) == ("topic: bell", "Go away!")


@pytest.mark.parametrize("way", ["button", "empty box"])
def test_the_worse_answer_is_removed_and_undo_restores_it(as_owner, owner, url, row, way):
    if way == "button":
        as_owner.post(url("change", number=7), {"what": "unpair"})
    else:
        as_owner.post(url("example", number=7), form(row, rejected=" \n"))
    row.refresh_from_db()
    assert row.rejected == ""
    undo(edit=Edit.objects.latest("pk"), by=owner)
    row.refresh_from_db()
    assert row.rejected == "Go away!"


def test_a_worse_answer_is_added_to_an_example(as_owner, url, row, dataset):
    other = dataset.examples.get(number=8)
    page = compact(as_owner.post(url("example", number=8), form(other, more="rejected")))
    assert 'name="rejected"' in page
    as_owner.post(url("example", number=8), form(other, rejected="Who knows?"))
    other.refresh_from_db()
    assert other.rejected == "Who knows?"


def test_the_same_answer_twice_is_refused_and_the_form_keeps_its_text(as_owner, url, row):
    reply = as_owner.post(url("example", number=7), form(row, rejected=f" {row.answer}\n"))
    assert reply.status_code == 422
    page = reply.content.decode()
    assert "The better and the worse answer are the same." in page
    row.refresh_from_db()
    assert row.rejected == "Go away!"


def test_conflict_with_a_second_tab_shows_both_texts(as_owner, as_editor, url, row):
    mine = form(row, rejected="what I wrote")
    as_editor.post(url("example", number=7), form(row, rejected="what Jonas wrote"))
    reply = as_owner.post(url("example", number=7), mine)
    assert reply.status_code == 422
    page = reply.content.decode()
    assert "what I wrote" in page
    assert "what Jonas wrote" in page


def test_only_editors_of_the_team_may_change_it(as_viewer, as_stranger, as_owner, url, row):
    address = url("change", number=7)
    assert as_viewer.post(address, {"what": "unpair"}).status_code == 403
    assert as_stranger.post(address, {"what": "unpair"}).status_code == 404
    assert as_owner.get(address).status_code == 405
    row.refresh_from_db()
    assert row.rejected == "Go away!"
