"""Template tags with which pages of other apps show the checks."""

from typing import Any

from django import template

from finetune_app.checks.detectors import languages
from finetune_app.checks.health import Health, check_progress, health, sorted_findings
from finetune_app.checks.models import Finding
from finetune_app.datasets.models import Dataset
from finetune_app.datasets.table_query import TableFilters

register = template.Library()


@register.simple_tag
def dataset_health(dataset: Dataset) -> Health:
    return health(sorted_findings(dataset))


@register.inclusion_tag("checks/_check_status.html", takes_context=True)
def check_status(context: Any, dataset: Dataset, filters: TableFilters) -> dict[str, Any]:
    """Whether the findings are up to date, the progress of a check, and the button to start one."""
    return {
        "goal": dataset.goal,
        "filters": filters,
        "can_edit": context["can_edit"],
        "csrf_token": context["csrf_token"],
        **check_progress(dataset),
    }


@register.simple_tag
def finding_called(dataset: Dataset, check_name: str) -> Finding | None:
    """The finding with this name, by which the table is filtered."""
    return dataset.findings.light().filter(check_name=check_name).first() if check_name else None


@register.filter
def text_language(code: str) -> str:
    """Its name; Django's own `language_name` fails for a language it does not know, as Latin."""
    return languages.language_name(code)
