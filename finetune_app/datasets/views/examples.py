"""Views of one example: open, edit, change its status, move, delete, history, write a new one."""

import json
from datetime import datetime
from typing import Any

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _

from finetune_app.accounts.access import may_edit
from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.chat_messages import Message
from finetune_app.core.errors import PlainError
from finetune_app.datasets import conversation_form
from finetune_app.datasets.events import examples_changed
from finetune_app.datasets.forms import MoveForm, WriteForm
from finetune_app.datasets.models import Dataset, Edit, Example, Split, Status
from finetune_app.datasets.services import (
    StaleExample,
    add_example,
    change_many,
    dataset_of,
    save_example,
)
from finetune_app.datasets.table_query import TableFilters
from finetune_app.datasets.views.common import (
    back_to_table,
    render,
    table,
    table_row,
)
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal


@goal_page(Role.VIEWER, "GET", "POST", changing=Role.EDITOR)
def example(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    """GET opens the row in place; POST (editors only) saves it."""
    row = _example(goal, number)
    if request.method == "POST":
        return _save(request, goal, row)
    return _open_row(request, goal, row)


def _open_row(
    request: HttpRequest,
    goal: Goal,
    row: Example,
    status: int = 200,
    turns: list[Message] | None = None,
    rejected: str | None = None,
    **more: Any,
) -> HttpResponse:
    """The open row alone for htmx, else the page with the row open. `turns` and `rejected` are the
    texts in its fields if they differ from what is saved; a pair has a field for its worse answer,
    empty when it was just added."""
    turns = turns or conversation_form.from_post({}, row.messages)
    rejected = row.rejected or None if rejected is None else rejected
    row_context = {
        "open": row,
        "boxes": conversation_form.message_fields(
            turns, row.messages, is_pair=rejected is not None
        ),
        "worse": None
        if rejected is None
        else conversation_form.rejected_field(rejected, row.rejected),
        "splits": Split.choices,
        "has_instructions": conversation_form.has_instructions(turns),
        "has_thought": "reasoning_content" in turns[-1],
        "several": sum(message["role"] == "user" for message in turns) > 1,
        "seen": row.changed_at.isoformat(),
        "tools": json.dumps(row.tools, ensure_ascii=False, indent=2) if row.tools else "",
        **more,
    }
    context = {"goal": goal, "can_edit": may_edit(request), **row_context}
    if request.htmx and not request.htmx.boosted:
        context["filters"] = TableFilters.read(request.GET)
        if "closed" in request.GET:
            return render(request, "_row", context | {"row": table_row(row)})
        return render(request, "_open_row", context, status=status)
    if not any(request.GET.get(name) for name in ("after", "before", "sort")):
        given = request.GET.copy()
        given["after"] = str(max(row.number - 4, 0))
        request.GET = given  # type: ignore[assignment]
    context = table(request, goal, row.dataset, **row_context)
    if all(one.example.pk != row.pk for one in context["rows"]):
        context["rows"] = [table_row(row), *context["rows"]]
    return render(request, "page", context, status=status)


def _save(request: HttpRequest, goal: Goal, row: Example) -> HttpResponse:
    turns = conversation_form.from_post(request.POST, row.messages)
    rejected = None
    if conversation_form.REJECTED in request.POST:
        rejected = conversation_form.rejected_from_post(request.POST, row.rejected)
    if more := request.POST.get("more"):  # another box to write in; nothing is saved yet
        seen = _parse_time(request.POST.get("changed_at", "")).isoformat()
        if more == conversation_form.REJECTED:
            rejected = rejected or ""
        turns = conversation_form.with_added(turns, more)
        return _open_row(request, goal, row, turns=turns, rejected=rejected, seen=seen)
    try:
        edit = save_example(
            example=row,
            by=request.user,
            messages=conversation_form.without_empty_turns(turns, row.messages),
            seen=_parse_time(request.POST.get("changed_at", "")),
            rejected=rejected,
        )
    except StaleExample as stale:
        return _open_row(request, goal, stale.example, 422, turns, rejected, stale_edit=True)
    except PlainError as error:
        return _open_row(request, goal, row, 422, turns, rejected, problem=error.message)
    if edit is None:
        return back_to_table(request, goal, at=row.number)
    examples_changed.send(Dataset, dataset=row.dataset)
    return back_to_table(request, goal, message=_("Saved %s.") % row, edit=edit, at=row.number)


def _parse_time(text: str) -> datetime:
    """An unreadable time becomes 1970, so the form counts as stale."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return datetime.fromisoformat("1970-01-01T00:00:00+00:00")


@goal_page(Role.EDITOR, "POST")
def change(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    """Apply one button, one of ACTIONS; move comes with a split."""
    row = _example(goal, number)
    what = request.POST.get("what", "")
    if what not in ACTIONS:
        raise PlainError(_("That button is not known. Open the row again."))
    message, fields = ACTIONS[what]
    if what == "move":
        form = MoveForm(request.POST)
        if not form.is_valid():
            raise PlainError(_("Choose what the example is used for: training, practice or test."))
        fields = {"split": form.cleaned_data["split"]}
    if what == "approve" and not row.answer.strip():
        raise PlainError(_("%s has no answer yet. Write one, then approve it.") % row)
    edit = _apply_action(row.dataset, request, row, str(message) % {"row": row}, fields)
    at = 0 if what == "delete" else row.number
    return back_to_table(request, goal, message=edit.what, edit=edit, at=at)


ACTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "approve": ("Approved %(row)s", {"status": str(Status.APPROVED)}),
    "draft": ("Made %(row)s a draft", {"status": str(Status.DRAFT)}),
    "set_aside": ("Set %(row)s aside", {"status": str(Status.SET_ASIDE)}),
    "delete": ("Moved %(row)s to the trash", {"deleted": True}),
    "restore": ("Restored %(row)s from the trash", {"deleted": False}),
    "unpair": ("Removed the worse answer of %(row)s", {"rejected": ""}),
    "move": ("Moved %(row)s", {}),
}


def _apply_action(
    dataset: Dataset, request: HttpRequest, row: Example, what: str, fields: dict[str, Any]
) -> Edit:
    edit = change_many(
        dataset=dataset, by=request.user, what=what, examples=[row], fields=lambda _row: fields
    )
    examples_changed.send(Dataset, dataset=dataset)
    return edit


@goal_page(Role.VIEWER, "GET")
def history(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    row = _example(goal, number)
    changes = row.changes.select_related("edit__by").order_by("-edit")[:100]
    context = {"goal": goal, "row": row, "changes": changes, "brought": row.source_import}
    return render(request, "history", context)


@goal_page(Role.EDITOR, "GET", "POST")
def write(request: HttpRequest, goal: Goal) -> HttpResponse:
    """One example by hand."""
    form = WriteForm(request.POST or None)
    dataset = dataset_of(goal)
    if request.method == "POST" and (more := request.POST.get("more")):
        form = form.with_added(more)
    elif request.method == "POST" and form.is_valid():
        try:
            row, edit = add_example(dataset=dataset, by=request.user, messages=form.messages())
        except PlainError as error:
            form.add_error("prompt", error.message)
        else:
            examples_changed.send(Dataset, dataset=dataset)
            return (
                back_to_table(request, goal, message=_("Added %s.") % row, edit=edit, at=row.number)
                if "again" not in request.POST
                else _write_another(request, goal, row)
            )
    status = 422 if form.errors else 200
    count = dataset.examples.usable().count()
    return render(request, "write", {"goal": goal, "form": form, "count": count}, status=status)


def _write_another(request: HttpRequest, goal: Goal, row: Example) -> HttpResponse:
    count = row.dataset.examples.usable().count()
    return render(
        request, "write", {"goal": goal, "form": WriteForm(), "count": count, "added": row}
    )


def _example(goal: Goal, number: int) -> Example:
    return get_object_or_404(
        Example.objects.select_related("dataset__goal", "changed_by", "source_import"),
        dataset__goal=goal,
        number=number,
    )
