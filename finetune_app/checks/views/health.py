"""The health page: the score with its findings, their evidence, and the best next step."""

from collections.abc import Callable
from typing import Any, TypedDict

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.accounts.access import may_edit
from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.checks import fixes
from finetune_app.checks import services as checks
from finetune_app.checks.detectors import languages
from finetune_app.checks.finding_evidence import gather_evidence
from finetune_app.checks.health import check_progress, health, sorted_findings
from finetune_app.checks.models import Finding
from finetune_app.core.charts import count_bar, histogram
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import render_page, whole_number
from finetune_app.datasets.enough_examples import PILOT_EXAMPLES, STEADY_EXAMPLES
from finetune_app.datasets.models import Dataset
from finetune_app.datasets.services import dataset_of
from finetune_app.datasets.table_query import TableFilters
from finetune_app.datasets.views.common import with_undo
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal

MAX_BARS = 12  # labels or languages in a chart


@goal_page(Role.VIEWER, "GET")
def page(request: HttpRequest, goal: Goal) -> HttpResponse:
    dataset = dataset_of(goal)
    findings = sorted_findings(dataset, whole=True)
    context = {
        "goal": goal,
        "filters": TableFilters(),
        "health": health(findings),
        "shown": gather_evidence(dataset, findings),
        "next": _next(dataset, findings),
        "can_edit": may_edit(request),
        "thorough_note": True,
        "empty": not dataset.examples.usable().exists(),
        "checked_at": dataset.checked_at,
        **_charts(dataset.facts),
        **check_progress(dataset),
    }
    return render_page(request, "checks/health.html", context)


@goal_page(Role.EDITOR, "POST")
def choose(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Keep one of several answers to the same question; the others are set aside."""
    dataset = dataset_of(goal)
    finding = dataset.findings.filter(check_name="contradictions").first()
    right = whole_number(request.POST.get("right"))
    if finding is None or right is None:
        raise PlainError(_("These examples have changed in the meantime. Look again."), status=409)
    edit = fixes.keep_answer(finding=finding, right=right, by=request.user)
    checks.check_after_edit(dataset)
    messages.success(
        request,
        with_undo(goal, _("%s. The others are set aside.") % edit.what, edit),
        extra_tags="undo",
    )
    return redirect(reverse("checks:health", kwargs={"goal_id": goal.pk}) + "#contradictions")


class NextStep(TypedDict, total=False):
    """A sentence, and the target of its button: a finding, or the page that adds examples."""

    text: str
    finding: Finding
    add: bool


def _next(dataset: Dataset, findings: list[Finding]) -> NextStep:
    if findings and findings[0].check_name not in ("too_few", "small_test"):
        first = findings[0]
        return {"finding": first, "text": f"{first.message.rstrip('.')}. {first.why}"}
    count = dataset.facts.get("rows", 0)
    if dataset.goal.trains and count < STEADY_EXAMPLES:
        return {
            "add": True,
            "text": ngettext(
                "More examples: you have %(n)s. %(pilot)s show an effect, %(steady)s make it "
                "steady.",
                "More examples: you have %(n)s. %(pilot)s show an effect, %(steady)s make it "
                "steady.",
                count,
            )
            % {"n": count, "pilot": PILOT_EXAMPLES, "steady": STEADY_EXAMPLES},
        }
    if findings:
        return {"add": True, "text": f"{findings[0].message.rstrip('.')}. {findings[0].why}"}
    return {"text": _("Nothing stands out. Freeze a version and see what a model makes of it.")}


def _charts(facts: dict[str, Any]) -> dict[str, Any]:
    """Charts of the statistics of the last check, as far as they are known."""
    lengths = facts.get("lengths") or {}
    charts: dict[str, Any] = {}
    if lengths.get("bars"):
        unit = _("tokens") if lengths["unit"] == "tokens" else _("characters")
        description = _(
            "Lengths of the examples: half have up to %(middle)s %(unit)s, the longest has "
            "%(longest)s"
        ) % {"middle": f"{lengths['middle']:,}", "unit": unit, "longest": f"{lengths['longest']:,}"}
        charts["lengths"] = histogram(
            lengths["bars"], lengths["step"], description, unit=unit, limit=lengths["most"]
        )
        charts["lengths_said"] = description + "."
    labels = facts.get("labels") or []
    if labels:
        charts["labels"] = _bars(labels, str)
        charts["labels_more"] = max(0, len(labels) - MAX_BARS)
        charts["labels_field"] = facts.get("field", "")
    counts = facts.get("languages") or []
    if counts:
        charts["languages"] = _bars(counts, languages.language_name)
        charts["unknown_language"] = facts.get("unknown_language", 0)
    return charts


class NamedBar(TypedDict):
    name: str
    count: int
    bar: str  # SVG


def _bars(counts: list[tuple[str, int]], name: Callable[[str], str]) -> list[NamedBar]:
    most = max(count for _name, count in counts)
    few = counts if len(counts) <= MAX_BARS else [*counts[: MAX_BARS - 3], *counts[-3:]]
    return [
        {"name": name(one) or _("no value"), "count": count, "bar": count_bar(count, most)}
        for one, count in few
    ]
