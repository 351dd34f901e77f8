"""Bulk edits: confirmed first, applied as one edit, undone as one."""

import pytest

from finetune_app.datasets.models import Edit, Example, Status
from finetune_app.datasets.services import change_many, undo
from tests.example_rows import conversation, pair


@pytest.fixture
def rows(add_examples):
    return add_examples(60).examples


def statuses(rows, *numbers: int) -> list[str]:
    return list(rows.filter(number__in=numbers).order_by("number").values_list("status", flat=True))


def test_confirmation_shows_the_number_of_rows(as_owner, url, rows):
    rows.filter(number__in=range(1, 11)).update(status="draft")
    page = as_owner.get(url("bulk"), {"which": "all", "what": "approve"}).content.decode()
    assert "<h1>Approve 10 examples?</h1>" in page
    assert "50 more are like that already" in page
    assert Edit.objects.count() == 0
    assert statuses(rows, 1) == ["draft"]


def test_ticked_rows_change_and_undo_restores_them(as_owner, url, rows):
    page = as_owner.get(url("bulk"), {"which": "ticked", "what": "set_aside", "row": ["3", "7"]})
    assert "Set 2 examples aside?" in page.content.decode()
    reply = as_owner.post(url("bulk"), {"what": "set_aside", "row": ["3", "7"]}, follow=True)
    edit = Edit.objects.get()
    assert "Set 2 examples aside." in reply.content.decode()
    assert url("undo", edit_id=edit.pk) in reply.content.decode()
    assert statuses(rows, 3, 5, 7) == ["set_aside", "approved", "set_aside"]
    as_owner.post(url("undo", edit_id=edit.pk))
    assert statuses(rows, 3, 5, 7) == ["approved"] * 3


def test_all_matching_rows_change_and_no_others(as_owner, url, rows):
    wanted = set(rows.filter(prompt__icontains="saddle").values_list("number", flat=True))
    assert 0 < len(wanted) < 60
    as_owner.post(url("bulk") + "?q=SADDLE", {"what": "delete", "which": "all"})
    gone = rows.exclude(deleted_at=None).values_list("number", flat=True)
    assert set(gone) == wanted
    as_owner.post(url("undo", edit_id=Edit.objects.latest("pk").pk))
    assert rows.kept().count() == 60


def test_each_action(as_owner, url, rows, editor):
    def do(what: str, query: str = "") -> Example:
        as_owner.post(url("bulk") + query, {"what": what, "row": ["9"]})
        return rows.get(number=9)

    assert do("draft").status == "draft"
    assert do("approve").status == "approved"
    assert do("split-test").split == "test"
    assert do("split-train").split == "train"
    assert do(f"assign-{editor.pk}").assigned_to == editor
    assert do("assign-nobody").assigned_to is None
    assert do("delete").deleted_at
    assert do("restore", "?status=trash").deleted_at is None
    assert do("restore", "?status=trash").deleted_at is None


def test_rows_without_an_answer_are_not_approved(as_owner, url, rows, add_examples):
    rows.filter(number=4).update(status="draft", answer="  ")
    rows.filter(number=5).update(status="draft")
    page = as_owner.get(url("bulk"), {"what": "approve", "row": ["4", "5"]})
    assert "Approve 1 example?" in page.content.decode()
    reply = as_owner.post(url("bulk"), {"what": "approve", "row": ["4", "5"]}, follow=True)
    assert "1 example was left as it is." in reply.content.decode()
    assert statuses(rows, 4, 5) == ["draft", "approved"]


def test_undo_keeps_later_changes(as_owner, url, rows, owner, dataset):
    as_owner.post(url("bulk"), {"what": "set_aside", "which": "all"})
    edit = Edit.objects.get()
    change_many(
        dataset=dataset,
        by=owner,
        what="x",
        examples=[rows.get(number=8)],
        fields=lambda _row: {"status": "draft"},
    )
    reply = as_owner.post(url("undo", edit_id=edit.pk), follow=True)
    assert "1 example was changed since and stays as it is." in reply.content.decode()
    assert statuses(rows, 7, 8, 9) == ["approved", "draft", "approved"]


def test_undo_can_be_undone(as_owner, owner, url, rows):
    rows.filter(number__lte=20).update(status="draft")
    as_owner.post(url("bulk"), {"what": "set_aside", "which": "all"})
    back, left = undo(edit=Edit.objects.get(), by=owner)
    assert (left, back.count) == (0, 60)
    assert rows.filter(status="draft").count() == 20
    undo(edit=back, by=owner)
    assert rows.filter(status="set_aside").count() == 60


def test_row_history_lists_the_bulk_edit(as_owner, url, rows):
    as_owner.post(url("bulk"), {"what": "set_aside", "row": ["3", "7"]})
    assert "Set 2 examples aside" in as_owner.get(url("history", number=7)).content.decode()
    assert "Set 2 examples aside" not in as_owner.get(url("history", number=5)).content.decode()


def test_rows_of_a_finding_are_fixed_when_the_edit_begins(as_owner, url, add_examples, dataset):
    add_examples(rows=[{"messages": conversation(*pair(n % 30))} for n in range(60)])
    page = as_owner.get(url("bulk") + "?finding=duplicates", {"which": "all", "what": "delete"})
    assert page.status_code == 200
    as_owner.post(url("bulk") + "?finding=duplicates", {"which": "all", "what": "set_aside"})
    assert dataset.examples.filter(status=Status.SET_ASIDE).count() == 60


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"what": "approve"},
        {"what": "nonsense", "which": "all"},
        {"what": "approve", "row": ["x", "-1", "99999999999999999999"]},
        {"what": "assign-99999", "which": "all"},
        {"what": "restore", "which": "all"},
    ],
)
def test_invalid_form_changes_nothing(as_owner, url, rows, form):
    for ask in (as_owner.get, as_owner.post):
        assert ask(url("bulk"), form).status_code == 302
    assert Edit.objects.count() == 0


def test_only_editors_of_the_team_may_do_it(as_viewer, as_stranger, url, rows):
    form = {"what": "delete", "which": "all"}
    assert as_viewer.post(url("bulk"), form).status_code == 403
    assert as_viewer.get(url("bulk"), form).status_code == 403
    assert as_stranger.post(url("bulk"), form).status_code == 404
    assert as_viewer.delete(url("bulk")).status_code in (403, 405)
    assert rows.kept().count() == 60
    assert 'name="row"' not in as_viewer.get(url("page")).content.decode()
