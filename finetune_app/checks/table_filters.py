"""The filters of the example table that this app adds: by finding and by language."""

from django.db import connection
from django.db.models import BooleanField, F, Func, Q
from django.db.models.expressions import RawSQL

from finetune_app.checks.models import Finding
from finetune_app.datasets.models import Dataset
from finetune_app.datasets.table_query import UNTOLD, register_filter

MAX_KEYS_LOOKED_UP = 10_000  # of a finding, before PostgreSQL reads the rows in order


def register() -> None:
    register_filter("finding", has_finding)
    register_filter("lang", is_in_language)


def has_finding(dataset: Dataset, check_name: str) -> Q:
    finding = dataset.findings.light().filter(check_name=check_name).first()
    return in_finding(finding) if finding else Q(pk__in=[])


def is_in_language(dataset: Dataset, code: str) -> Q:
    return Q(row_check__language="" if code == UNTOLD else code)


def in_finding(finding: Finding) -> Q:
    """The examples of a finding. The database unpacks its keys, they are not read into Python."""
    if connection.vendor == "sqlite":
        values = "SELECT value FROM checks_finding, json_each(checks_finding.examples)"
        return Q(pk__in=RawSQL(f"{values} WHERE checks_finding.id = %s", [finding.pk]))
    values = "SELECT value::bigint FROM checks_finding, jsonb_array_elements_text(examples)"
    keys = RawSQL(f"{values} WHERE checks_finding.id = %s", [finding.pk])
    # PostgreSQL expects 100 rows of the subquery and would join them one by one. A few keys are
    # looked up as an array, in one scan of an index. With many keys the rows are read in order and
    # looked up in a hash until the page is complete: a subquery in an expression is not joined.
    few = finding.count <= MAX_KEYS_LOOKED_UP
    return Q(
        Func(
            F("pk"),
            keys,
            template="(%(expressions)s))" if few else "((%(expressions)s) IS TRUE)",
            arg_joiner=" = ANY(ARRAY" if few else " IN ",
            output_field=BooleanField(),
        )
    )
