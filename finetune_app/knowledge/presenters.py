"""What the documents page shows, for the whole page and for the part that polls."""

from typing import Any, cast

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
from finetune_app.jobs.presenters import waiting_headline
from finetune_app.knowledge import services
from finetune_app.knowledge.forms import SearchForm, UploadForm
from finetune_app.knowledge.models import Document, Knowledge
from finetune_app.knowledge.schemas import SearchQuality

PAGE_SIZE = 100  # documents
MAX_MISSED = 20  # practice questions


class PracticeContext(SearchQuality):
    """Also the prompts that were missed, and how many more there are."""

    prompts: list[str]
    more: int


class CitedPassage(FoundPassage):
    """Also its rank, the reasons, and the URL of its place in the document."""

    number: int
    reasons: list[str]
    url: str


def page_context(
    goal: Goal, membership: Membership | None, *, after: int | None = None, **more: Any
) -> dict[str, Any]:
    knowledge = Knowledge.objects.filter(goal=goal).select_related("job").first()
    documents = _page(knowledge, after)
    job = knowledge.job if knowledge else None
    return {
        "goal": goal,
        "knowledge": knowledge,
        "documents": documents[:PAGE_SIZE],
        "next_page": documents[PAGE_SIZE - 1].pk if len(documents) > PAGE_SIZE else None,
        "count": knowledge.documents.count() if knowledge else 0,
        "job": job,
        "state": job.state if job else "",
        "headline": _headline(job) if job else "",
        "facts": _facts(job) if job else [],
        "bar": charts.bar(job.done, job.total) if job else "",
        "can_edit": bool(membership and membership.may_edit),
        "upload": UploadForm(),
        "form": SearchForm(),
        "whole": bool(
            knowledge and services.fits_whole(knowledge.characters, _context_length(goal))
        ),
        "missing": bool(knowledge and services.is_index_missing(knowledge)),
        "waiting": bool(knowledge and knowledge.documents.waiting().exists()),
        "practice": _practice(goal, knowledge) if knowledge else None,
        **more,
    }


def _page(knowledge: Knowledge | None, after: int | None) -> list[Document]:
    """The documents of a page, and the first of the next one."""
    if knowledge is None:
        return []
    rows = knowledge.documents.select_related("added_by")
    last = knowledge.documents.filter(pk=after).first() if after else None
    if last:
        rows = rows.filter(Q(name__gt=last.name) | Q(name=last.name, pk__gt=last.pk))
    return list(rows[: PAGE_SIZE + 1])


def _context_length(goal: Goal) -> int:
    """Of the goal's base model, in tokens; 0 if none is chosen."""
    choice = BaseModelChoice.objects.filter(goal=goal).select_related("base_model").first()
    return choice.base_model.context if choice else 0


def _headline(job: Job) -> str:
    if job.state == State.QUEUED:
        return waiting_headline(job)
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
    counts = {"done": int(job.done), "total": int(job.total or 0)}
    if counts["total"] and job.unit == "documents":
        return [_("%(done)d of %(total)d documents read") % counts]
    if counts["total"] and job.unit == "passages":
        return [_("%(done)d of %(total)d passages taken in") % counts]
    return []


def _practice(goal: Goal, knowledge: Knowledge) -> PracticeContext | None:
    """None if no practice question was asked."""
    quality = cast(SearchQuality, knowledge.practice)
    if not quality.get("asked"):
        return None
    missed = Example.objects.kept().filter(dataset__goal=goal, pk__in=quality["missed"])
    return {
        **quality,
        "prompts": [*missed.values_list("prompt", flat=True)[:MAX_MISSED]],
        "more": max(0, len(quality["missed"]) - MAX_MISSED),
    }


def cite(goal: Goal, passages: list[FoundPassage]) -> list[CitedPassage]:
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


def added_message(count: int) -> str:
    return ngettext("%(n)d document added.", "%(n)d documents added.", count) % {"n": count}
