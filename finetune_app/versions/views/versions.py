"""Views to freeze, show, name and compare versions."""

from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _l

from finetune_app.accounts.access import may_edit
from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.chat_messages import Message
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import render_page, whole_number
from finetune_app.core.tool_calls import message_text
from finetune_app.core.word_diff import diff_words
from finetune_app.datasets.models import Split
from finetune_app.datasets.services import dataset_of
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.versions import reader
from finetune_app.versions.forms import NameForm, TableForm
from finetune_app.versions.models import Version
from finetune_app.versions.services import freeze

ROWS_PER_PAGE = 20  # of a comparison
ROLES = {
    "system": _l("Instructions"),
    "user": _l("Prompt"),
    "assistant": _l("Answer"),
    "tool": _l("Tool"),
}


@goal_page(Role.EDITOR, "POST")
def freeze_version(request: HttpRequest, goal: Goal) -> HttpResponse:
    version, new = freeze(dataset=dataset_of(goal), by=request.user)
    message = (
        _("Version %(n)s is frozen.")
        if new
        else _("Nothing has changed since version %(n)s, so that one is still current.")
    )
    messages.success(request, message % {"n": version.number})
    return redirect("versions:detail", goal_id=goal.pk, number=version.number)


@goal_page(Role.VIEWER, "GET")
def detail(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    version = _version(goal, number)
    context = {
        "goal": goal,
        "version": version,
        "trainings": version.trainings.all(),
        "evaluations": version.evaluations.all(),
        "others": version.dataset.versions.exclude(pk=version.pk),
        "before": version.dataset.versions.filter(number__lt=version.number).first(),
        "name_form": NameForm(instance=version),
        "can_edit": may_edit(request),
        "total": sum(version.counts.values()),
        "table_form": TableForm(),
    }
    return render_page(request, "versions/detail.html", context)


@goal_page(Role.VIEWER, "GET")
def list_page(request: HttpRequest, goal: Goal) -> HttpResponse:
    """All versions with their trainings and evaluations. Two chosen ones redirect to `compare`."""
    chosen = [whole_number(request.GET.get(name)) for name in ("number", "other")]
    if all(chosen):
        return redirect("versions:compare", goal_id=goal.pk, number=chosen[0], other=chosen[1])
    versions = (
        dataset_of(goal)
        .versions.select_related("created_by")
        .prefetch_related("trainings", "evaluations")
    )
    context = {
        "goal": goal,
        "rows": [{"version": one, "total": sum(one.counts.values())} for one in versions],
    }
    return render_page(request, "versions/list.html", context)


@goal_page(Role.EDITOR, "POST")
def rename(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    """Change the name and note, which are not part of the frozen file."""
    version = _version(goal, number)
    form = NameForm(request.POST, instance=version)
    if not form.is_valid():
        raise PlainError(_("A name has at most 80 characters, a note at most 2,000."), status=422)
    form.save()
    messages.success(request, _("Saved."))
    return redirect("versions:detail", goal_id=goal.pk, number=number)


@goal_page(Role.VIEWER, "GET")
def compare(request: HttpRequest, goal: Goal, number: int, other: int) -> HttpResponse:
    """The differences between version `number` and version `other`, the older one first."""
    older, newer = _version(goal, min(number, other)), _version(goal, max(number, other))
    kind = request.GET.get("kind", "")
    kind = kind if kind in reader.KINDS else ""
    after = whole_number(request.GET.get("after")) or 0
    found = reader.compare(older, newer, kind=kind, after=after, limit=ROWS_PER_PAGE)
    names = {
        "added": _("Added"),
        "gone": _("Removed"),
        "changed": _("Changed"),
        "moved": _("Moved"),
    }
    context = {
        "goal": goal,
        "older": older,
        "newer": newer,
        "kind": kind,
        "tabs": [{"kind": one, "name": names[one], "count": found.counts[one]} for one in names],
        "none": not found.counts,
        "rows": [_row_context(pair) for pair in found.differences],
        "next": f"?kind={kind}&after={found.differences[-1].number}" if found.more else "",
        "into_test": sum(n for (_was, to), n in found.moves.items() if to == Split.TEST),
    }
    return render_page(request, "versions/compare.html", context)


def _row_context(pair: reader.RowDifference) -> dict[str, Any]:
    """A difference for the page: changed messages as a word diff, others in full."""
    before, after = pair.before, pair.after
    both = bool(before and after)
    turns = []
    for old, new in aligned(
        before["messages"] if before else [], after["messages"] if after else []
    ):
        turn = new or old
        role = turn["role"] if turn else ""
        was, now = (one.get("reasoning_content", "") if one else "" for one in (old, new))
        if was or now:
            turns.append(_turn_context(_("Thought"), was, now, both))
        was, now = message_text(old) if old else "", message_text(new) if new else ""
        name = ROLES.get(role, role) + _learned_mark(old, new)
        turns.append(_turn_context(name, was, now, both))
    was, now = (one.get("rejected", "") if one else "" for one in (before, after))
    if was or now:
        turns.append(_turn_context(_("Worse answer"), was, now, both))
    labels = dict(Split.choices)
    return {
        "number": pair.number,
        "kinds": pair.kinds,
        "turns": turns,
        "was": labels.get(before["split"], "") if before else "",
        "is": labels.get(after["split"], "") if after else "",
    }


def _turn_context(role: str, was: str, now: str, both: bool) -> dict[str, Any]:
    """`both`: both versions have the example, so that a changed text is a word diff."""
    pieces = diff_words(was, now) if both and was != now else []
    return {"role": role, "old": was, "new": now, "pieces": pieces}


def _learned_mark(old: Message | None, new: Message | None) -> str:
    """What to add to the speaker of an answer that is read and not learned, or was."""
    was, now = ("weight" in one if one else False for one in (old, new))
    if old and new and was != now:
        return ", " + (_("not learned any more") if now else _("learned now"))
    return ", " + _("not learned") if was or now else ""


def aligned(
    old: list[Message], new: list[Message]
) -> Iterator[tuple[Message | None, Message | None]]:
    """Pairs of old and new messages; None on one side of an added or removed message."""
    texts = [[(m["role"], message_text(m)) for m in side] for side in (old, new)]
    for _tag, a, b, c, d in SequenceMatcher(None, texts[0], texts[1], autojunk=False).get_opcodes():
        left, right = old[a:b], new[c:d]
        while left or right:
            if left and right and left[0]["role"] == right[0]["role"]:
                yield left.pop(0), right.pop(0)
            elif right and not any(m["role"] == right[0]["role"] for m in left):
                yield None, right.pop(0)
            else:
                yield left.pop(0), None


def _version(goal: Goal, number: int) -> Version:
    return get_object_or_404(
        Version.objects.select_related("dataset", "created_by"), dataset__goal=goal, number=number
    )
