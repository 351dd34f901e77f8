"""The focus view: one example at a time, keyboard first. Every button is a form's, so that it
works without script; whatever is pressed, what was typed is kept."""

import json
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _

from finetune_app.accounts.access import may_edit
from finetune_app.accounts.models import Role, User
from finetune_app.checks import services as checks
from finetune_app.core.charts import thin_bar
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import HttpRequest
from finetune_app.datasets import labels, pace, queues, status_counts
from finetune_app.datasets.models import Dataset, Draft, Edit, Example, Status
from finetune_app.datasets.queues import MANY, Desk
from finetune_app.datasets.services import (
    Stale,
    dataset_of,
    drafts,
    labelling,
    suggestions,
    together,
    undo,
)
from finetune_app.datasets.text import newlines
from finetune_app.datasets.views.common import answer_pairs, render
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal

A_HEADING = 280  # characters up to which a prompt is set large


@goal_page(Role.VIEWER, "GET")
def start(request: HttpRequest, goal: Goal) -> HttpResponse:
    """To the first row of the queue; where there is none, what to do instead."""
    desk, dataset = Desk.read(request.GET), dataset_of(goal)
    row = queues.following(dataset, request.user, desk)
    if row is not None:
        return redirect(_address(goal, row, desk))
    context = _frame(request, goal, desk, None)
    theirs = queues.rows(dataset, request.user, Desk(desk.queue, queues.EVERYBODY))
    context["theirs"] = desk.query(whose=queues.EVERYBODY) if theirs.exists() else ""
    context["others"] = status_counts.counts(dataset)[Status.PENDING]
    return render(request, "label_done", context)


@goal_page(Role.VIEWER, "GET", "POST", changing=Role.EDITOR)
def desk(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    """GET shows the row; POST does what was pressed and goes on to the next one."""
    row = _row(goal, number)
    if request.method == "POST":
        return _act(request, goal, row)
    return _shown(request, goal, row)


@goal_page(Role.EDITOR, "POST")
def keep(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    """As they type, and when the tab closes."""
    row = _row(goal, number)
    kept = drafts.keep(
        example=row,
        by=request.user,
        text=newlines(request.POST.get("answer", "")),
        seen=_moment(request.POST.get("seen", "")),
    )
    said = _("Kept") if kept else _("You saved this row elsewhere. Press Save to keep this, too.")
    response = HttpResponse(status=204)
    response["HX-Trigger"] = json.dumps({"saved": said})
    return response


@goal_page(Role.EDITOR, "POST")
def undo_last(request: HttpRequest, goal: Goal) -> HttpResponse:
    """The last thing that this person did to one row here, or what is named."""
    desk, dataset = Desk.read(request.GET), dataset_of(goal)
    named, swapped = (request.POST.get(name, "")[:12] for name in ("edit", "draft"))
    deed: Edit | Draft | None = _last_deed(dataset, request.user)
    if named.isdecimal():
        deed = dataset.edits.filter(pk=int(named), by=request.user).first()
    elif swapped.isdecimal():
        mine = Draft.objects.filter(by=request.user, example__dataset=dataset)
        deed = mine.exclude(replaced=None).filter(pk=int(swapped)).first()
    if isinstance(deed, Draft):
        return _swap(request, goal, deed)
    if deed is None:
        messages.info(request, _("There is nothing of yours to undo."))
        return redirect(reverse("datasets:label", kwargs={"goal_id": goal.pk}) + desk.here)
    change = deed.changes.select_related("example").first()
    back, left = undo(edit=deed, by=request.user)
    if left:
        messages.warning(request, _("Somebody changed the row since, so it stays as it is."))
    else:
        said = _("Undone: %s.") % deed.what
        messages.success(request, _again(said, "edit", back.pk), extra_tags="undo")
    if change is None:
        return redirect(reverse("datasets:label", kwargs={"goal_id": goal.pk}) + desk.here)
    return redirect(_address(goal, change.example, desk))


def _last_deed(dataset: Dataset, user: User) -> Edit | Draft | None:
    """What Z takes back: a change of a row, or a suggestion that was put into the box."""
    edit, taken = labelling.last_edit(dataset, user), drafts.last_taken(dataset, user)
    return taken if taken and (edit is None or taken.at > edit.at) else edit


def _swap(request: HttpRequest, goal: Goal, draft: Draft) -> HttpResponse:
    now = drafts.swap(draft=draft)
    row = now.example
    if now.took:
        messages.success(request, _took(row))
    else:
        said = _("Undone. What stood in the box of %s before is back.") % row
        messages.success(request, _again(said, "draft", now.pk), extra_tags="undo")
    return redirect(_address(goal, row, Desk.read(request.GET)))


@goal_page(Role.EDITOR, "POST")
def guidelines(request: HttpRequest, goal: Goal) -> HttpResponse:
    dataset = dataset_of(goal)
    together.save_guidelines(dataset=dataset, text=newlines(request.POST.get("guidelines", "")))
    messages.success(request, _("Guidelines saved."))
    number = request.POST.get("row", "")
    row = dataset.examples.filter(number=int(number[:9])).first() if number.isdecimal() else None
    desk = Desk.read(request.GET)
    if row:
        return redirect(_address(goal, row, desk))
    return redirect(reverse("datasets:label", kwargs={"goal_id": goal.pk}) + desk.here)


# ---- What the buttons do ----


def _act(request: HttpRequest, goal: Goal, row: Example) -> HttpResponse:
    try:
        said = _do(request, row)
    except Stale as stale:
        return _shown(request, goal, _row(goal, row.number), status=422, theirs=stale.example)
    except PlainError as error:
        return _shown(request, goal, row, status=422, problem=error.message)
    desk = Desk.read(request.GET)
    if said:
        messages.success(request, said)
    if request.POST.get("do") in ("drop", "own", "take", "dismiss"):
        return redirect(_address(goal, row, desk))
    here = queues.preceding if request.POST.get("do") == "back" else queues.following
    found = here(row.dataset, request.user, desk, row.number)
    if found is None and request.POST.get("do") == "back":
        found = row
    if found is None:
        # Not after each answer: one a second is given here. Until then the dataset's own page
        # says that its examples changed since they were looked at, and freezing looks anyway.
        checks.check_after_edit(row.dataset)
        return redirect(reverse("datasets:label", kwargs={"goal_id": goal.pk}) + desk.here)
    return redirect(_address(goal, found, desk))


def _do(request: HttpRequest, row: Example) -> str:
    """Do it, and say what was done; nothing for what changes nothing."""
    post, by = request.POST, request.user
    what, seen = post.get("do", ""), _moment(post.get("seen", ""))
    text = newlines(post.get("label") or post.get("answer", ""))
    edit: Edit | None = None
    if post.get("label") or what == "save":
        answer = labelling.settle if row.status == Status.DISPUTED else labelling.answer_row
        edit = answer(example=row, by=by, text=text, seen=seen)
        suggestions.take(example=row, answer=text)
    elif what == "draft":
        edit = labelling.answer_row(example=row, by=by, text=text, seen=seen, done=False)
    elif what in ("aside", "again"):
        _keep_typed(request, row)
        status = Status.SET_ASIDE if what == "aside" else Status.PENDING
        edit = labelling.move(example=row, by=by, status=status)
    elif what in ("skip", "back"):
        _keep_typed(request, row)
    elif what == "take":
        drafts.take_over(example=row, by=by, text=text, seen=seen)
        return _took(row)
    elif what == "dismiss":
        _keep_typed(request, row)
        suggestions.dismiss(example=row)
    elif what == "drop":
        drafts.drop(example=row, by=by)
    elif what == "own":
        suggestions.dismiss(example=row)
        drafts.drop(example=row, by=by)
    else:
        raise PlainError(_("We don’t know that button. Open the row again."), status=400)
    return edit.what if edit else ""


def _keep_typed(request: HttpRequest, row: Example) -> None:
    """Without script nothing was kept as they typed. A suggestion that stands in an empty box as
    it came is nobody's text."""
    if "answer" in request.POST:
        text = newlines(request.POST["answer"])
        suggested = suggestions.shown(row)
        typed = row.drafts.filter(by=request.user).exists()
        if typed or not suggested or text.strip() != suggested.answer:
            seen = _moment(request.POST.get("seen", ""))
            drafts.keep(example=row, by=request.user, text=text, seen=seen)


# ---- What is shown ----


def _shown(
    request: HttpRequest,
    goal: Goal,
    row: Example,
    status: int = 200,
    problem: str = "",
    theirs: Example | None = None,
) -> HttpResponse:
    desk = Desk.read(request.GET)
    context = _frame(request, goal, desk, row)
    context |= _written(request, row) | {"problem": problem, "theirs": theirs}
    return render(request, "label", context, status=status)


def _frame(request: HttpRequest, goal: Goal, desk: Desk, row: Example | None) -> dict[str, Any]:
    """What stands around the row: the queues, how far, the guidelines."""
    dataset = row.dataset if row else dataset_of(goal)
    found = queues.counts(dataset, request.user, desk.whose)
    tabs = [
        {
            "name": queues.NAMES[queue],
            "count": found[queue],
            "many": found[queue] == MANY + 1,
            "query": desk.query(queue=queue),
            "here": queue == desk.queue,
        }
        for queue in queues.STATUS
        if found[queue] or queue in (queues.TODO, queues.DONE, desk.queue)
    ]
    return {
        "goal": goal,
        "dataset": dataset,
        "desk": desk,
        "tabs": tabs,
        "counts": found,
        "done_bar": thin_bar(found["approved"], max(found["all"], 1)),
        "pace": pace.of(dataset, request.user, found[queues.TODO]),
        "can_edit": may_edit(request),
        "assigned": queues.anybodys(dataset),
        "undoable": _to_undo(dataset, request.user) if may_edit(request) else "",
    }


def _written(request: HttpRequest, row: Example) -> dict[str, Any]:
    """The row itself: what is asked, and what stands in the box."""
    dataset, user = row.dataset, request.user
    draft = drafts.shown(row, user)
    suggestion = suggestions.shown(row)
    mine = row.labels.filter(by=user).first()
    disputed = row.status == Status.DISPUTED
    stands = row.answer or (mine.answer if mine else "")
    text = stands or (suggestion.answer if suggestion else "")
    if draft:
        text = draft.text
    if request.method == "POST" and "answer" in request.POST:
        text = newlines(request.POST["answer"])
    suggested = bool(suggestion and text.strip() == suggestion.answer)
    chosen = "" if disputed else mine.answer if mine else row.answer
    before = list(row.messages)
    if before and before[-1]["role"] == "assistant":
        before = before[:-1]
    asked = before[-1]["content"] if before else ""
    return {
        "row": row,
        "before": before[:-1],
        "asked": asked,
        "large": len(asked) <= A_HEADING,
        "text": text,
        "lines": min(max(4, len(text) // 52 + text.count("\n") + 1), 16),
        "draft": draft,
        "mine": mine,
        "suggestion": suggestion,
        "boxed": suggested and text != stands,
        "beside": suggestion and not suggested,
        "beside_pairs": answer_pairs(suggestion.answer) if suggestion else [],
        "buttons": [
            {
                "answer": one,
                "key": at if at <= labels.KEYS else "",
                "chosen": one == chosen,
                "suggested": bool(suggestion and one == suggestion.answer),
            }
            for at, one in enumerate(dataset.labels, start=1)
        ],
        "offered": labels.offered(dataset) if may_edit(request) else [],
        "takes_two": queues.takes_two(row),
        "disputed": _sides(row) if disputed else [],
        "pairs": answer_pairs(row.answer),
    }


def _sides(row: Example) -> list[dict[str, Any]]:
    """Who said what, for whoever settles it."""
    said = row.labels.select_related("by").order_by("at", "pk")
    return [
        {"by": one.by, "answer": one.answer, "pairs": answer_pairs(one.answer), "key": at}
        for at, one in enumerate(said, start=1)
    ]


def _to_undo(dataset: Dataset, user: User) -> str:
    """What Z would take back, in words; nothing where there is nothing."""
    deed = _last_deed(dataset, user)
    return _took(deed.example) if isinstance(deed, Draft) else deed.what if deed else ""


def _took(row: Example) -> str:
    return _("Took over the suggestion for %s") % row


def _again(said: str, name: str, value: int) -> str:
    return format_html(
        '{} <button class="link" form="undo" name="{}" value="{}">{}</button>',
        said,
        name,
        value,
        _("Do it again"),
    )


def _address(goal: Goal, row: Example, desk: Desk) -> str:
    where = {"goal_id": goal.pk, "number": row.number}
    return reverse("datasets:desk", kwargs=where) + desk.here


def _moment(text: str) -> datetime | None:
    """Never fresh where it cannot be read: the beginning of time."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def _row(goal: Goal, number: int) -> Example:
    return get_object_or_404(
        Example.objects.kept().select_related("dataset__goal", "changed_by", "assigned_to"),
        dataset__goal=goal,
        number=number,
    )
