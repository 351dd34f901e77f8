"""How rows are answered, and by whom: class labels, rows with two answers, assigned rows."""

from dataclasses import dataclass

from django.contrib import messages
from django.db.models import Count, Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.accounts.access import may_edit
from finetune_app.accounts.models import Role, User
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import render_page, whole_number
from finetune_app.datasets.models import Change, Dataset, Status
from finetune_app.datasets.services import dataset_of
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.labelling import assignment, class_labels
from finetune_app.labelling.agreement import measure_agreement
from finetune_app.labelling.queues import QueueFilter

ROW_COUNTS = (10, 50, 200, 1_000)  # offered for one assignment


@goal_page(Role.VIEWER, "GET")
def page(request: HttpRequest, goal: Goal) -> HttpResponse:
    dataset = dataset_of(goal)
    people = assignment.editors_of(dataset)
    context = {
        "goal": goal,
        "dataset": dataset,
        "can_edit": may_edit(request),
        "people": _workloads(dataset, people),
        "free": assignment.unassigned_rows(dataset).count(),
        "row_counts": ROW_COUNTS,
        "alone": len(people) < 2,
        "shares": assignment.SHARES_PERCENT,
        "agreement": measure_agreement(dataset),
        "disputed": dataset.examples.kept().filter(status=Status.DISPUTED).count(),
    }
    offered = class_labels.detect_labels(dataset)
    context |= {"offered": offered, "labels": "\n".join(dataset.labels or offered)}
    return render_page(request, "labelling/assignment.html", context)


@goal_page(Role.EDITOR, "POST")
def save_labels(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Class labels: the offered ones accepted or declined (`label`, `use`), or a list (`text`)."""
    post = request.POST
    text = post.get("text", "\n".join(post.getlist("label") if post.get("use") else []))
    found = class_labels.parse_labels(text)
    assignment.save_labels(dataset=dataset_of(goal), labels=found)
    messages.success(
        request, _("These answers are buttons now.") if found else _("Answers are free text now.")
    )
    return _redirect_to_page(goal) if "text" in post else _redirect_back(request, goal)


@goal_page(Role.EDITOR, "POST")
def save_share(request: HttpRequest, goal: Goal) -> HttpResponse:
    """The share of rows that two people answer."""
    percent = whole_number(request.POST.get("percent"))
    if percent is None:
        raise PlainError(_("Choose one of the shares in the list."), status=422)
    assignment.save_share(dataset=dataset_of(goal), percent=percent)
    messages.success(
        request,
        _("Two people answer %(n)d%% of the rows to do.") % {"n": percent}
        if percent
        else _("One person answers each row."),
    )
    return _redirect_to_page(goal)


@goal_page(Role.EDITOR, "POST")
def assign(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Split unassigned rows evenly (`even`), assign some to a person (`give`, `rows`), or unassign
    what a person has not answered (`back`)."""
    dataset, post = dataset_of(goal), request.POST
    if "even" in post:
        count = assignment.split_evenly(dataset=dataset)
        message = ngettext("%(n)s row is assigned.", "%(n)s rows are assigned.", count)
    elif "give" in post:
        who = _member(goal, post["give"])
        limit = whole_number(post.get("rows")) or ROW_COUNTS[0]
        count = assignment.assign_rows(dataset=dataset, to=who, limit=limit)
        message = ngettext(
            "%(n)s row is assigned to them now.", "%(n)s rows are assigned to them now.", count
        )
    elif "back" in post:
        count = assignment.unassign_rows(dataset=dataset, of=_member(goal, post["back"]))
        message = ngettext(
            "%(n)s row is unassigned again.", "%(n)s rows are unassigned again.", count
        )
    else:
        raise PlainError(_("Choose what to do with the rows."), status=422)
    messages.success(request, message % {"n": f"{count:,}"})
    return _redirect_to_page(goal)


def _redirect_back(request: HttpRequest, goal: Goal) -> HttpResponse:
    """To the row that the user came from, else to the first one of the queue."""
    row, query = request.POST.get("row", ""), QueueFilter.from_query(request.GET).query
    if row.isdecimal() and dataset_of(goal).examples.kept().filter(number=int(row[:9])).exists():
        where = reverse("labelling:row", kwargs={"goal_id": goal.pk, "number": int(row[:9])})
        return redirect(where + query)
    return redirect(reverse("labelling:start", kwargs={"goal_id": goal.pk}) + query)


@dataclass(frozen=True)
class Workload:
    """How many rows a user still has to do, and has answered."""

    user: User
    todo: int
    done: int


def _workloads(dataset: Dataset, people: list[User]) -> list[Workload]:
    rows = dataset.examples.kept()
    todo = dict(
        rows.filter(status=Status.PENDING)
        .exclude(assigned_to=None)
        .order_by()
        .values_list("assigned_to")
        .annotate(Count("pk"))
    )
    given = Q(after__status=Status.APPROVED) | Q(after__has_key="labels")
    done = dict(
        Change.objects.filter(given, edit__dataset=dataset, edit__undone_at=None)
        .order_by()
        .values_list("edit__by")
        .annotate(Count("example", distinct=True))
    )
    return [Workload(one, todo.get(one.pk, 0), done.get(one.pk, 0)) for one in people]


def _member(goal: Goal, text: str) -> User:
    return get_object_or_404(User, pk=whole_number(text) or 0, memberships__team=goal.team)


def _redirect_to_page(goal: Goal) -> HttpResponse:
    return redirect("labelling:assignment", goal_id=goal.pk)
