"""How rows are answered, and by whom: the closed set, two answers for some, who gets which."""

from typing import Any

from django.contrib import messages
from django.db.models import Count, Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.accounts.access import may_edit
from finetune_app.accounts.models import Role, User
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import HttpRequest, whole_number
from finetune_app.datasets import agreement, labels
from finetune_app.datasets.models import Change, Dataset, Status
from finetune_app.datasets.queues import Desk
from finetune_app.datasets.services import dataset_of, together
from finetune_app.datasets.views.common import render
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal

AT_ONCE = (10, 50, 200, 1_000)  # rows that are given to somebody


@goal_page(Role.VIEWER, "GET")
def page(request: HttpRequest, goal: Goal) -> HttpResponse:
    dataset = dataset_of(goal)
    people = together.editors_of(dataset)
    context = {
        "goal": goal,
        "dataset": dataset,
        "can_edit": may_edit(request),
        "people": _shares(dataset, people),
        "free": together.unassigned(dataset).count(),
        "at_once": AT_ONCE,
        "alone": len(people) < 2,
        "shares": together.SHARES,
        "agreement": agreement.of(dataset),
        "disputed": dataset.examples.kept().filter(status=Status.DISPUTED).count(),
    }
    offered = labels.offered(dataset)
    context |= {"offered": offered, "closed": "\n".join(dataset.labels or offered)}
    return render(request, "label_together", context)


@goal_page(Role.EDITOR, "POST")
def labels_(request: HttpRequest, goal: Goal) -> HttpResponse:
    """The closed set: the offered one taken or refused (`label`, `use`), or a list (`text`)."""
    post = request.POST
    text = post.get("text", "\n".join(post.getlist("label") if post.get("use") else []))
    found = labels.read(text)
    together.save_labels(dataset=dataset_of(goal), labels=found)
    messages.success(
        request, _("These answers are buttons now.") if found else _("Answers are free now.")
    )
    return _page(goal) if "text" in post else back(request, goal)


@goal_page(Role.EDITOR, "POST")
def share(request: HttpRequest, goal: Goal) -> HttpResponse:
    """How many of the rows two people answer."""
    percent = whole_number(request.POST.get("percent"))
    if percent is None:
        raise PlainError(_("Choose one of the shares in the list."), status=422)
    together.save_share(dataset=dataset_of(goal), percent=percent)
    messages.success(
        request,
        _("Two people answer %(n)d%% of the rows to do.") % {"n": percent}
        if percent
        else _("One person answers each row."),
    )
    return _page(goal)


@goal_page(Role.EDITOR, "POST")
def assign(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Split what is nobody's evenly (`even`), give some to a person (`give`, `rows`), or take back
    what they have not answered (`back`)."""
    dataset, post = dataset_of(goal), request.POST
    if "even" in post:
        count = together.split_evenly(dataset=dataset)
        said = ngettext("%(n)s row is given out.", "%(n)s rows are given out.", count)
    elif "give" in post:
        who = _member(goal, post["give"])
        most = whole_number(post.get("rows")) or AT_ONCE[0]
        count = together.assign(dataset=dataset, to=who, most=most)
        said = ngettext("%(n)s row is theirs now.", "%(n)s rows are theirs now.", count)
    elif "back" in post:
        count = together.take_back(dataset=dataset, of=_member(goal, post["back"]))
        said = ngettext("%(n)s row is nobody’s again.", "%(n)s rows are nobody’s again.", count)
    else:
        raise PlainError(_("Choose what to do with the rows."), status=422)
    messages.success(request, said % {"n": f"{count:,}"})
    return _page(goal)


def back(request: HttpRequest, goal: Goal) -> HttpResponse:
    """To the row that somebody came from, else to the first of the queue."""
    row, here = request.POST.get("row", ""), Desk.read(request.GET).here
    if row.isdecimal() and dataset_of(goal).examples.kept().filter(number=int(row[:9])).exists():
        where = reverse("datasets:desk", kwargs={"goal_id": goal.pk, "number": int(row[:9])})
        return redirect(where + here)
    return redirect(reverse("datasets:label", kwargs={"goal_id": goal.pk}) + here)


def _shares(dataset: Dataset, people: list[User]) -> list[dict[str, Any]]:
    """What each person has still to do, and has answered."""
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
    return [
        {"who": one, "todo": todo.get(one.pk, 0), "done": done.get(one.pk, 0)} for one in people
    ]


def _member(goal: Goal, text: str) -> User:
    return get_object_or_404(User, pk=whole_number(text) or 0, memberships__team=goal.team)


def _page(goal: Goal) -> HttpResponse:
    return redirect("datasets:together", goal_id=goal.pk)
