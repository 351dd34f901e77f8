"""Bulk actions: confirm, apply, follow the progress."""

from collections.abc import Iterable
from typing import Any

from django.db.models import Q
from django.db.models.functions import Length, Trim
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.accounts.access import may_edit
from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.charts import bar
from finetune_app.core.errors import PlainError
from finetune_app.datasets.bulk_actions import BulkAction, bulk_actions, team_members
from finetune_app.datasets.events import examples_changed
from finetune_app.datasets.models import Dataset, Edit, ExampleQuerySet, Status
from finetune_app.datasets.services import (
    bulk_edit,
    count_label,
    dataset_of,
    fraction_done,
    start_job,
)
from finetune_app.datasets.table_query import PAGE_ROWS, TRASH, TableFilters, examples_of
from finetune_app.datasets.views.common import back_to_table, render, table_row
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.jobs.presenters import place_facts


@goal_page(Role.EDITOR, "GET", "POST")
def bulk(request: HttpRequest, goal: Goal) -> HttpResponse:
    """GET asks for confirmation, POST applies the action `what` to the rows that match the table's
    filters (`which=all`) or to the ticked rows (their numbers as `row`)."""
    dataset = dataset_of(goal)
    given = request.POST if request.method == "POST" else request.GET
    filters, numbers = _filters(request), _numbers(given)
    action = _action_named(goal, filters, given.get("what", ""))
    if action is None:
        return back_to_table(request, goal, message=_("Choose what to do with them."), warn=True)
    if numbers is not None and not numbers:
        return back_to_table(request, goal, message=_("Tick the rows first."), warn=True)
    rows = _rows(dataset, filters, numbers)
    if request.method == "POST":
        return _apply_action(request, goal, dataset, action, filters, numbers)
    total, changing = rows.count(), _changing(rows, action).count()
    context = {
        "goal": goal,
        "filters": filters,
        "action": action,
        "numbers": numbers,
        "question": action.ask % {"n": count_label(changing)},
        "changing": changing,
        "already": total - changing,
        "rows": [table_row(row) for row in _changing(rows, action)[:5]],
        "further": max(changing - 5, 0),
    }
    return render(request, "bulk", context)


def _filters(request: HttpRequest) -> TableFilters:
    """The filters are in the URL, on a POST too."""
    return TableFilters.read(request.GET)


def _numbers(given: QueryDict) -> list[int] | None:
    """The numbers of the ticked rows; None for all rows that match the filters."""
    if given.get("which") == "all":
        return None
    found = {int(n) for n in given.getlist("row") if n.isascii() and n.isdigit() and len(n) < 10}
    return sorted(found)[: 4 * PAGE_ROWS]


def _action_named(goal: Goal, filters: TableFilters, name: str) -> BulkAction | None:
    every = bulk_actions(team_members(goal.team), trash=filters.status == TRASH)
    return next((action for action in every if action.name == name), None)


def _rows(dataset: Dataset, filters: TableFilters, numbers: list[int] | None) -> ExampleQuerySet:
    if numbers is None:
        return examples_of(dataset, filters).order_by("number")
    there = examples_of(dataset, TableFilters(status=TRASH if filters.status == TRASH else ""))
    return there.filter(number__in=numbers).order_by("number")


def _changing(rows: ExampleQuerySet, action: BulkAction) -> ExampleQuerySet:
    """The rows that the action would change."""
    ((name, value),) = action.after.items()
    if name == "deleted":
        return rows  # the filters already select by trash
    if value is None:
        return rows.exclude(**{name: None})
    rows = rows.filter(
        ~Q(**{name: value}) | Q(**{name: None}) if name == "assigned_to" else ~Q(**{name: value})
    )
    if value == Status.APPROVED:
        rows = rows.annotate(answer_length=Length(Trim("answer"))).filter(answer_length__gt=0)
    return rows


def _apply_action(
    request: HttpRequest,
    goal: Goal,
    dataset: Dataset,
    action: BulkAction,
    filters: TableFilters,
    numbers: Iterable[int] | None,
) -> HttpResponse:
    if numbers is not None:
        filters = TableFilters(status=TRASH if filters.status == TRASH else "")
    edit = bulk_edit(
        dataset=dataset,
        by=request.user,
        message=action.message,
        after=action.after,
        filters=filters,
        numbers=numbers,
    )
    return _redirect_after(request, goal, edit)


def _redirect_after(request: HttpRequest, goal: Goal, edit: Edit) -> HttpResponse:
    """Redirect to the table if the edit is done, else to the page with its progress."""
    if edit.todo:
        return redirect("datasets:edit", goal_id=goal.pk, edit_id=edit.pk)
    examples_changed.send(Dataset, dataset=edit.dataset)
    return back_to_table(
        request, goal, message=f"{edit.what}. {skipped_message(edit.left)}", edit=edit
    )


def skipped_message(left: int) -> str:
    return (
        ngettext("%(n)s example was left as it is.", "%(n)s examples were left as they are.", left)
        % {"n": f"{left:,}"}
        if left
        else ""
    )


@goal_page(Role.VIEWER, "GET", "POST", changing=Role.EDITOR)
def watch(request: HttpRequest, goal: Goal, edit_id: int) -> HttpResponse:
    """The progress of a large edit, polled every second. POST continues one whose job failed."""
    edit = get_object_or_404(dataset_of(goal).edits.select_related("job"), pk=edit_id)
    if request.method == "POST":
        if edit.undone_at:
            raise PlainError(_("This change has already been undone."), status=409)
        start_job(edit)
        return redirect("datasets:edit", goal_id=goal.pk, edit_id=edit.pk)
    if request.htmx and not edit.todo:
        return HttpResponse(headers={"HX-Refresh": "true"})
    going = bool(edit.job and edit.job.is_active)
    changed = edit.count
    facts = [_("%(n)s changed so far") % {"n": count_label(changed)}]
    facts += place_facts(edit.job) if edit.job else []
    context: dict[str, Any] = {
        "goal": goal,
        "edit": edit,
        "can_edit": may_edit(request),
        "going": going,
        "done": count_label(changed),
        "headline": _("%(percent)s%% done") % {"percent": int(100 * fraction_done(edit))},
        "facts": facts,
        "bar": bar(fraction_done(edit), 1),
    }
    return render(request, "edit", context, partial="going")
