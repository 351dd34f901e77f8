"""The labelling view: one row at a time, for the keyboard.

Every button submits a form, so that it works without JavaScript, and no button loses typed text.
"""

import json
from datetime import datetime
from typing import Any, TypedDict

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _

from finetune_app.accounts.access import may_edit
from finetune_app.accounts.models import Role, User
from finetune_app.accounts.requests import HttpRequest
from finetune_app.checks import services as checks
from finetune_app.core.charts import thin_bar
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import render_page
from finetune_app.core.tool_calls import message_text
from finetune_app.datasets import status_counts
from finetune_app.datasets.models import Dataset, Edit, Example, Status
from finetune_app.datasets.services import StaleExample, dataset_of, undo
from finetune_app.datasets.text import last_thought, newlines
from finetune_app.datasets.views.common import AnswerField, answer_pairs
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.labelling import (
    answers,
    assignment,
    class_labels,
    disputes,
    drafts,
    labelling_speed,
    queues,
    suggestions,
)
from finetune_app.labelling.models import Draft
from finetune_app.labelling.queues import MAX_COUNTED, QueueFilter

MAX_LARGE_PROMPT_CHARS = 280  # a longer prompt is set in the normal text size


@goal_page(Role.VIEWER, "GET")
def start(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Redirect to the first row of the queue; for an empty queue say what to do next."""
    chosen, dataset = QueueFilter.from_query(request.GET), dataset_of(goal)
    first = queues.next_row(dataset, request.user, chosen)
    if first is not None:
        return redirect(_row_url(goal, first, chosen))
    context = _queue_context(request, goal, chosen, None)
    everybody = QueueFilter(chosen.queue, queues.EVERYBODY)
    theirs = queues.rows_in_queue(dataset, request.user, everybody)
    context["theirs"] = everybody.query if theirs.exists() else ""
    context["others"] = status_counts.counts(dataset)[Status.PENDING]
    return render_page(request, "labelling/done.html", context)


@goal_page(Role.VIEWER, "GET", "POST", changing=Role.EDITOR)
def row(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    """GET shows the row; POST performs the action of a button and shows the next row."""
    example = _get_row(goal, number)
    if request.method == "POST":
        return _post(request, goal, example)
    return _render_row(request, goal, example)


@goal_page(Role.EDITOR, "POST")
def save_draft(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    """Called while the user types, and when the tab closes."""
    saved = drafts.save_draft(
        example=_get_row(goal, number),
        by=request.user,
        text=newlines(request.POST.get("answer", "")),
        seen=_parse_moment(request.POST.get("seen", "")),
    )
    text = _("Saved") if saved else _saved_elsewhere_text()
    response = HttpResponse(status=204)
    response["HX-Trigger"] = json.dumps({"saved": text})
    return response


@goal_page(Role.EDITOR, "POST")
def undo_last(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Undo the user's last action on a single row, or the edit or draft that is named."""
    chosen, dataset = QueueFilter.from_query(request.GET), dataset_of(goal)
    named, swapped = (request.POST.get(name, "")[:12] for name in ("edit", "draft"))
    action: Edit | Draft | None = _last_action(dataset, request.user)
    if named.isdecimal():
        action = dataset.edits.filter(pk=int(named), by=request.user).first()
    elif swapped.isdecimal():
        mine = Draft.objects.filter(by=request.user, example__dataset=dataset)
        action = mine.exclude(replaced=None).filter(pk=int(swapped)).first()
    if isinstance(action, Draft):
        return _swap_texts(request, goal, action)
    if action is None:
        messages.info(request, _("There is nothing of yours to undo."))
        return redirect(_queue_url(goal, chosen))
    change = action.changes.select_related("example").first()
    back, left = undo(edit=action, by=request.user)
    if left:
        messages.warning(request, _("Somebody changed the row since, so it stays as it is."))
    else:
        message = _("Undone: %s.") % action.what
        messages.success(request, _with_redo(message, "edit", back.pk), extra_tags="undo")
    if change is None:
        return redirect(_queue_url(goal, chosen))
    return redirect(_row_url(goal, change.example, chosen))


def _last_action(dataset: Dataset, user: User) -> Edit | Draft | None:
    """What undo reverts: the edit of a row, or a suggestion that was accepted into the box."""
    edit, draft = answers.last_edit(dataset, user), drafts.last_accepted(dataset, user)
    return draft if draft and (edit is None or draft.at > edit.at) else edit


def _swap_texts(request: HttpRequest, goal: Goal, draft: Draft) -> HttpResponse:
    now = drafts.swap_texts(draft=draft)
    example = now.example
    if now.took:
        messages.success(request, _accepted_text(example))
    else:
        message = _("Undone. The text that was in the box of %s before is back.") % example
        messages.success(request, _with_redo(message, "draft", now.pk), extra_tags="undo")
    return redirect(_row_url(goal, example, QueueFilter.from_query(request.GET)))


@goal_page(Role.EDITOR, "POST")
def save_guidelines(request: HttpRequest, goal: Goal) -> HttpResponse:
    dataset = dataset_of(goal)
    text = newlines(request.POST.get("guidelines", ""))
    assignment.save_guidelines(dataset=dataset, text=text)
    messages.success(request, _("Guidelines saved."))
    number = request.POST.get("row", "")
    chosen = QueueFilter.from_query(request.GET)
    if number.isdecimal() and (example := dataset.examples.filter(number=int(number[:9])).first()):
        return redirect(_row_url(goal, example, chosen))
    return redirect(_queue_url(goal, chosen))


# ---- Actions ----


def _post(request: HttpRequest, goal: Goal, example: Example) -> HttpResponse:
    try:
        message = _perform(request, example)
    except StaleExample as stale:
        current = _get_row(goal, example.number)
        return _render_row(request, goal, current, status=422, theirs=stale.example)
    except PlainError as error:
        return _render_row(request, goal, example, status=422, problem=error.message)
    chosen = QueueFilter.from_query(request.GET)
    if message:
        messages.success(request, message)
    action = request.POST.get("do")
    if action in ("drop", "own", "take", "dismiss"):
        return redirect(_row_url(goal, example, chosen))
    if action == "back":
        found = queues.previous_row(example.dataset, request.user, chosen, example.number)
        return redirect(_row_url(goal, found or example, chosen))
    found = queues.next_row(example.dataset, request.user, chosen, example.number)
    if found is None:
        # Not after each answer, because there may be one a second. Until then the dataset page
        # says that examples have changed since the last check, and freezing checks them anyway.
        checks.check_after_edit(example.dataset)
        return redirect(_queue_url(goal, chosen))
    return redirect(_row_url(goal, found, chosen))


def _perform(request: HttpRequest, example: Example) -> str:
    """Perform the action of the button; returns what was done, or "" when nothing changed."""
    post, by = request.POST, request.user
    action, seen = post.get("do", ""), _parse_moment(post.get("seen", ""))
    text = newlines(post.get("label") or post.get("answer", ""))
    edit: Edit | None = None
    if post.get("label") or action == "save":
        is_disputed = example.status == Status.DISPUTED
        save = disputes.settle_dispute if is_disputed else answers.answer_row
        edit = save(example=example, by=by, text=text, seen=seen)
        suggestions.mark_taken(example=example, answer=text)
    elif action == "draft":
        edit = answers.answer_row(example=example, by=by, text=text, seen=seen, done=False)
    elif action in ("aside", "again"):
        _save_typed_text(request, example)
        status = Status.SET_ASIDE if action == "aside" else Status.PENDING
        edit = answers.change_status(example=example, by=by, status=status, seen=seen)
    elif action in ("skip", "back"):
        _save_typed_text(request, example)
    elif action == "take":
        drafts.accept_suggestion(example=example, by=by, text=text, seen=seen)
        return _accepted_text(example)
    elif action == "dismiss":
        _save_typed_text(request, example)
        suggestions.dismiss_suggestions(example=example)
    elif action == "drop":
        drafts.delete_draft(example=example, by=by)
    elif action == "own":
        suggestions.dismiss_suggestions(example=example)
        drafts.delete_draft(example=example, by=by)
    else:
        raise PlainError(_("That button is not known. Open the row again."), status=400)
    return edit.what if edit else ""


def _save_typed_text(request: HttpRequest, example: Example) -> None:
    """Save the text as a draft, since without JavaScript nothing is saved while typing.

    A suggestion in the box that was not edited is not the user's text. Raises PlainError when the
    text cannot be a draft, because the user has saved the row since: it must stay on the page.
    """
    if "answer" not in request.POST:
        return
    text = newlines(request.POST["answer"])
    suggestion = suggestions.visible_suggestion(example)
    has_draft = example.drafts.filter(by=request.user).exists()
    if has_draft or not suggestion or text.strip() != suggestion.answer:
        seen = _parse_moment(request.POST.get("seen", ""))
        if not drafts.save_draft(example=example, by=request.user, text=text, seen=seen):
            raise PlainError(_saved_elsewhere_text(), status=422)


# ---- Rendering ----


def _render_row(
    request: HttpRequest,
    goal: Goal,
    example: Example,
    status: int = 200,
    problem: str = "",
    theirs: Example | None = None,
) -> HttpResponse:
    chosen = QueueFilter.from_query(request.GET)
    context = _queue_context(request, goal, chosen, example)
    context |= _row_context(request, example) | {"problem": problem, "theirs": theirs}
    return render_page(request, "labelling/row.html", context, status=status)


def _queue_context(
    request: HttpRequest, goal: Goal, chosen: QueueFilter, example: Example | None
) -> dict[str, Any]:
    """Context around the row: queues, progress, guidelines."""
    dataset = example.dataset if example else dataset_of(goal)
    counts = queues.queue_counts(dataset, request.user, chosen.whose)
    tabs = [
        {
            "name": queues.NAMES[queue],
            "count": counts[queue],
            "many": counts[queue] == MAX_COUNTED + 1,
            "query": chosen.query_with(queue=queue),
            "here": queue == chosen.queue,
        }
        for queue in queues.STATUS
        if counts[queue] or queue in (queues.TODO, queues.DONE, chosen.queue)
    ]
    can_edit = may_edit(request)
    return {
        "goal": goal,
        "dataset": dataset,
        "chosen": chosen,
        "tabs": tabs,
        "counts": counts,
        "done_bar": thin_bar(counts["approved"], max(counts["all"], 1)),
        "speed": labelling_speed.describe_speed(dataset, request.user, counts[queues.TODO]),
        "can_edit": can_edit,
        "assigned": queues.has_assignments(dataset),
        "undoable": _describe_undo(dataset, request.user) if can_edit else "",
    }


def _row_context(request: HttpRequest, example: Example) -> dict[str, Any]:
    """The row: the conversation, the text in the box, and the buttons."""
    dataset, user = example.dataset, request.user
    draft = drafts.visible_draft(example, user)
    suggestion = suggestions.visible_suggestion(example)
    mine = example.labels.filter(by=user).first()
    disputed = example.status == Status.DISPUTED
    answer = drafts.saved_answer(example, user)
    text = answer or (suggestion.answer if suggestion else "")
    if draft:
        text = draft.text
    if request.method == "POST" and "answer" in request.POST:
        text = newlines(request.POST["answer"])
    is_suggestion = bool(suggestion and text.strip() == suggestion.answer)
    chosen_label = "" if disputed else answer
    before = list(example.messages)
    if before and before[-1]["role"] == "assistant":
        before = before[:-1]
    prompt = message_text(before[-1]) if before else ""
    return {
        "row": example,
        "before": before[:-1],
        "prompt": prompt,
        "large": len(prompt) <= MAX_LARGE_PROMPT_CHARS,
        "thought": last_thought(example.messages),
        "text": text,
        "lines": min(max(4, len(text) // 52 + text.count("\n") + 1), 16),
        "draft": draft,
        "mine": mine,
        "suggestion": suggestion,
        "suggestion_in_box": is_suggestion and text != answer,
        "suggestion_beside": suggestion and not is_suggestion,
        "suggestion_pairs": answer_pairs(suggestion.answer) if suggestion else [],
        "buttons": [
            {
                "answer": one,
                "key": index if index <= class_labels.SHORTCUT_KEYS else "",
                "chosen": one == chosen_label,
                "suggested": bool(suggestion and one == suggestion.answer),
            }
            for index, one in enumerate(dataset.labels, start=1)
        ],
        "offered": class_labels.detect_labels(dataset) if may_edit(request) else [],
        "two_answers": queues.needs_two_answers(example),
        "disputed": _disputed_answer_contexts(example) if disputed else [],
        "pairs": answer_pairs(example.answer),
    }


def _describe_undo(dataset: Dataset, user: User) -> str:
    """What undo would revert; "" when there is nothing."""
    action = _last_action(dataset, user)
    if isinstance(action, Draft):
        return _accepted_text(action.example)
    return action.what if action else ""


def _saved_elsewhere_text() -> str:
    return _("You saved this row elsewhere. Press Save to keep this, too.")


def _accepted_text(example: Example) -> str:
    return _("Accepted the suggestion for %s") % example


def _with_redo(message: str, name: str, value: int) -> str:
    return format_html(
        '{} <button class="link" form="undo" name="{}" value="{}">{}</button>',
        message,
        name,
        value,
        _("Do it again"),
    )


def _queue_url(goal: Goal, chosen: QueueFilter) -> str:
    return reverse("labelling:start", kwargs={"goal_id": goal.pk}) + chosen.query


def _row_url(goal: Goal, example: Example, chosen: QueueFilter) -> str:
    where = {"goal_id": goal.pk, "number": example.number}
    return reverse("labelling:row", kwargs=where) + chosen.query


def _parse_moment(text: str) -> datetime | None:
    """The time in the form; a malformed one counts as older than every row."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def _get_row(goal: Goal, number: int) -> Example:
    return get_object_or_404(
        Example.objects.kept().select_related("dataset__goal", "changed_by", "assigned_to"),
        dataset__goal=goal,
        number=number,
    )


class DisputedAnswer(TypedDict):
    by: User
    answer: str
    pairs: list[AnswerField] | None
    key: int  # on the keyboard


def _disputed_answer_contexts(example: Example) -> list[DisputedAnswer]:
    return [
        {"by": one.by, "answer": one.answer, "pairs": answer_pairs(one.answer), "key": index}
        for index, one in enumerate(disputes.answers_of(example), start=1)
    ]
