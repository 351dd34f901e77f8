"""The health score of a dataset with its findings, and the progress of a running check."""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from finetune_app.checks import row_check_cache
from finetune_app.checks import services as checks
from finetune_app.checks.models import Finding, Severity
from finetune_app.core.charts import bar, gain, health_bar
from finetune_app.datasets.models import Dataset
from finetune_app.jobs.models import Job, State
from finetune_app.jobs.presenters import place_facts

POINTS = {Severity.ERROR: 10, Severity.WARNING: 5, Severity.INFO: 1}


def sorted_findings(dataset: Dataset, *, whole: bool = False) -> list[Finding]:
    """The findings by the points they cost, most first.

    Their rows, groups and spans, megabytes for a large dataset, are only loaded with `whole`.
    """
    findings = dataset.findings.all() if whole else dataset.findings.light()
    return sorted(findings, key=lambda f: (-POINTS[Severity(f.severity)], -f.count))


@dataclass(frozen=True)
class Health:
    score: int  # 100 minus the points of each finding, at least 0
    bar: str  # SVG; "" at a score of 0
    rows: list[tuple[Finding, str, int]]  # each finding, its bar as SVG, its points


def health(findings: list[Finding]) -> Health:
    points = [POINTS[Severity(finding.severity)] for finding in findings]
    score = max(0, 100 - sum(points))
    return Health(
        score=score,
        bar=health_bar(score, points) if score else "",
        rows=[
            (finding, gain(cost, max(points)), cost)
            for finding, cost in zip(findings, points, strict=True)
        ],
    )


def check_progress(dataset: Dataset) -> dict[str, Any]:
    """Whether the findings are up to date, and the progress of a running check."""
    job = dataset.check_job
    stale = checks.is_stale(dataset)
    context: dict[str, Any] = {"stale": stale, "large": checks.is_large(dataset), "check_job": job}
    if job and job.is_active:
        return context | _progress(job)
    if job and job.state == State.FAILED:
        context["check_problem"] = job.message
    if not stale and not context["large"]:
        context["unchecked"] = row_check_cache.count_not_thorough(dataset)
    return context


def _progress(job: Job) -> dict[str, Any]:
    done, total = f"{int(job.done):,}", f"{int(job.total):,}"
    facts = []
    if job.total and job.unit == "examples":
        facts = [_("%(done)s of %(all)s examples") % {"done": done, "all": total}]
    elif job.total:
        facts = [_("%(done)s of %(all)s checks") % {"done": done, "all": total}]
    return {
        "checking": {
            "headline": _("Checking every example"),
            "facts": place_facts(job) or facts,
            "bar": bar(job.done, job.total),
            "message": job.message,
        }
    }
