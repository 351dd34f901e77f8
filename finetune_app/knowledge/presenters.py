"""What the documents page shows, worked out once for the whole page and for its live part."""

from typing import Any

from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.accounts.models import Membership
from finetune_app.basemodels.models import BaseModelChoice
from finetune_app.core import charts
from finetune_app.core.engine_protocol import FoundPassage
from finetune_app.core.templatetags.ui import duration
from finetune_app.datasets.models import Example
from finetune_app.goals.models import Goal
from finetune_app.jobs.models import Job, State
from finetune_app.jobs.services import queue_place
from finetune_app.knowledge import services
from finetune_app.knowledge.forms import AskForm, UploadForm
from finetune_app.knowledge.models import Document, Knowledge

A_PAGE = 100  # documents
MISSED_SHOWN = 20
UNITS = {"documents": ("document", "documents"), "passages": ("passage", "passages")}


def context(
    goal: Goal, membership: Membership | None, *, after: int | None = None, **more: Any
) -> dict[str, Any]:
    knowledge = Knowledge.objects.filter(goal=goal).select_related("job").first()
    documents = _page(knowledge, after)
    job = knowledge.job if knowledge else None
    return {
        "goal": goal,
        "knowledge": knowledge,
        "documents": documents[:A_PAGE],
        "next_page": documents[A_PAGE - 1].pk if len(documents) > A_PAGE else None,
        "count": knowledge.documents.count() if knowledge else 0,
        "job": job,
        "state": job.state if job else "",
        "headline": headline(job) if job else "",
        "facts": _facts(job) if job else [],
        "bar": charts.bar(job.done, job.total) if job else "",
        "can_edit": bool(membership and membership.may_edit),
        "upload": UploadForm(),
        "form": AskForm(),
        "whole": bool(knowledge and services.fits_whole(knowledge, _context_of(goal))),
        "missing": bool(knowledge and services.is_missing(knowledge)),
        "waiting": bool(knowledge and knowledge.documents.waiting().exists()),
        "practice": _practice(goal, knowledge),
        **more,
    }


def _page(knowledge: Knowledge | None, after: int | None) -> list[Document]:
    """One more than a page, so that it shows whether there are others."""
    if knowledge is None:
        return []
    rows = knowledge.documents.select_related("added_by")
    last = knowledge.documents.filter(pk=after).first() if after else None
    if last:
        rows = rows.filter(Q(name__gt=last.name) | Q(name=last.name, pk__gt=last.pk))
    return list(rows[: A_PAGE + 1])


def _context_of(goal: Goal) -> int:
    """What the goal's base model can see, in tokens; 0 while none is chosen."""
    choice = BaseModelChoice.objects.filter(goal=goal).select_related("base_model").first()
    return choice.base_model.context if choice else 0


def headline(job: Job) -> str:
    if job.state == State.QUEUED:
        place = queue_place(job)
        return (
            _("Waiting: number %(n)d in line") % {"n": place} if place > 1 else _("About to start")
        )
    if job.state == State.FAILED:
        return _("The documents could not be made searchable")
    if job.state in (State.CANCELLED, State.STOPPED):
        return _("Stopped before all was read")
    if not job.is_active:
        return _("All read")
    left = job.seconds_left
    if left is None:
        return job.message or _("Getting ready")
    return (
        _("About %(time)s left") % {"time": duration(left)}
        if left >= 55
        else _("Less than a minute left")
    )


def _facts(job: Job) -> list[str]:
    if not job.total or job.unit not in UNITS:
        return []
    done, total = int(job.done), int(job.total)
    if job.unit == "documents":
        return [_("%(done)d of %(total)d documents read") % {"done": done, "total": total}]
    return [_("%(done)d of %(total)d passages taken in") % {"done": done, "total": total}]


def _practice(goal: Goal, knowledge: Knowledge | None) -> dict[str, Any] | None:
    """How well search finds the answers of practice questions, as it was measured last."""
    found: dict[str, Any] | None = knowledge.practice if knowledge else None
    if not found or not found.get("asked"):
        return None
    missed = Example.objects.kept().filter(dataset__goal=goal, pk__in=found["missed"])
    prompts = missed.values_list("prompt", flat=True)[:MISSED_SHOWN]
    return found | {"prompts": [*prompts], "more": max(0, len(found["missed"]) - MISSED_SHOWN)}


def cited(goal: Goal, passages: list[FoundPassage]) -> list[dict[str, Any]]:
    """Each passage with the address of its place, best first."""
    return [
        {
            **passage,
            "number": number,
            "reasons": passage["why"].split("; "),
            "url": reverse(
                "knowledge:document",
                kwargs={"goal_id": goal.pk, "document_id": passage["document"]},
            )
            + f"?at={passage['at']}#here",
        }
        for number, passage in enumerate(passages, start=1)
    ]


def added(count: int) -> str:
    return ngettext("%(n)d document added.", "%(n)d documents added.", count) % {"n": count}
