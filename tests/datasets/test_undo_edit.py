"""Undo restores everything, once, and can itself be undone."""

import pytest

from finetune_app.datasets.models import Edit, Example, Import, Status
from finetune_app.datasets.services import add_rows, change_many, undo
from tests.example_rows import conversation


@pytest.fixture
def row(add_examples) -> Example:
    return add_examples(60).examples.get(number=7)


def press(client, url, number: int, **form: str) -> Edit:
    client.post(url("change", number=number), form)
    return Edit.objects.latest("pk")


def test_message_offers_undo(as_owner, url, row):
    reply = as_owner.post(url("change", number=7), {"what": "set_aside"}, follow=True)
    edit = Edit.objects.latest("pk")
    assert url("undo", edit_id=edit.pk) in reply.content.decode()
    reply = as_owner.post(url("undo", edit_id=edit.pk), follow=True)
    assert "Undone." in reply.content.decode()
    row.refresh_from_db()
    assert row.status == Status.APPROVED


def test_undo_can_be_undone(as_owner, owner, url, row):
    edit = press(as_owner, url, 7, what="delete")
    back, _left = undo(edit=edit, by=owner)
    undo(edit=back, by=owner)
    row.refresh_from_db()
    assert row.deleted_at is not None


def test_undo_restores_the_exact_text(as_owner, url, row, owner):
    before = row.messages
    form = {"changed_at": row.changed_at.isoformat(), "message-1": "entirely different"}
    as_owner.post(url("example", number=7), form)
    undo(edit=Edit.objects.latest("pk"), by=owner)
    row.refresh_from_db()
    assert row.messages == before
    assert row.answer == before[-1]["content"]


def test_undo_restores_the_worse_answer(row, owner):
    for text in ("A worse answer", ""):
        edit = change_many(
            dataset=row.dataset,
            by=owner,
            what="x",
            examples=[row],
            fields=lambda _row, text=text: {"rejected": text},
        )
    undo(edit=edit, by=owner)
    row.refresh_from_db()
    assert row.rejected == "A worse answer"


def test_second_undo_is_refused(as_owner, url, row):
    edit = press(as_owner, url, 7, what="set_aside")
    as_owner.post(url("undo", edit_id=edit.pk))
    reply = as_owner.post(url("undo", edit_id=edit.pk))
    assert reply.status_code == 409
    assert "already been undone" in reply.content.decode()


def test_undo_skips_examples_changed_since(as_owner, as_editor, url, row, owner, dataset):
    rows = list(dataset.examples.filter(number__in=[7, 8]))
    edit = change_many(
        dataset=dataset,
        by=owner,
        what="Set two aside",
        examples=rows,
        fields=lambda _row: {"status": "set_aside"},
    )
    press(as_editor, url, 8, what="draft")
    reply = as_owner.post(url("undo", edit_id=edit.pk), follow=True)
    assert "1 example was changed since and stays as it is." in reply.content.decode()
    statuses = dict(dataset.examples.filter(number__in=[7, 8]).values_list("number", "status"))
    assert statuses == {7: "approved", 8: "draft"}


def test_undo_of_an_added_example_moves_it_to_the_trash(as_owner, url, row, owner, dataset):
    as_owner.post(url("write"), {"prompt": "Brand new", "answer": "topic: other"})
    undo(edit=Edit.objects.latest("pk"), by=owner)
    assert not dataset.examples.kept().filter(prompt="Brand new").exists()
    assert dataset.examples.filter(prompt="Brand new").exists()


def test_only_editors_of_the_team_may_do_it(as_owner, as_viewer, as_stranger, url, row):
    edit = press(as_owner, url, 7, what="set_aside")
    address = url("undo", edit_id=edit.pk)
    assert as_viewer.post(address).status_code == 403
    assert as_stranger.post(address).status_code == 404
    assert as_owner.get(address).status_code == 405
    row.refresh_from_db()
    assert row.status == Status.SET_ASIDE


def test_whole_import_can_be_undone(as_owner, owner, url, dataset, add_examples):
    add_examples(12)
    item = Import.objects.create(
        dataset=dataset, step="done", file_name="b.csv", stored_name="uploads/x/upload"
    )
    rows = [{"messages": conversation(f"Another {n * 91}?", "x")} for n in range(5)]
    add_rows(dataset=dataset, by=owner, rows=rows, source="b.csv", source_import=item)
    edit = Edit.objects.create(
        dataset=dataset, what="Added 5 examples", source_import=item, by=owner
    )
    as_owner.post(url("undo", edit_id=edit.pk))
    assert dataset.examples.kept().count() == 12
    back = Edit.objects.latest("pk")
    as_owner.post(url("undo", edit_id=back.pk))
    assert dataset.examples.kept().count() == 17
