"""The filters of the example table that this app adds: by finding and by language."""

from django.db import connection
from django.db.models import Q
from django.db.models.expressions import RawSQL

from finetune_app.checks.models import Finding
from finetune_app.datasets.models import Dataset
from finetune_app.datasets.table_query import UNTOLD, register_filter


def register() -> None:
    register_filter("finding", has_finding)
    register_filter("lang", is_in_language)


def has_finding(dataset: Dataset, check_name: str) -> Q:
    finding = dataset.findings.light().filter(check_name=check_name).first()
    return Q(pk__in=keys_found(finding)) if finding else Q(pk__in=[])


def is_in_language(dataset: Dataset, code: str) -> Q:
    return Q(row_check__language="" if code == UNTOLD else code)


def keys_found(finding: Finding) -> RawSQL:
    """A subquery for the keys of a finding's examples, so the list is not read into Python."""
    values = (
        "SELECT value FROM checks_finding, json_each(checks_finding.examples)"
        if connection.vendor == "sqlite"
        else "SELECT value::bigint FROM checks_finding, jsonb_array_elements_text(examples)"
    )
    return RawSQL(f"{values} WHERE checks_finding.id = %s", [finding.pk])
