"""Rows by statements that are written once, for what every request or page asks: Django takes
longer to write a statement anew than a database to answer it (docs/benchmarks/web.md)."""

from collections.abc import Sequence
from typing import Any, TypeVar

from django.core.exceptions import ObjectDoesNotExist
from django.db.models import ForeignKey, Model

M = TypeVar("M", bound=Model)


def rows(model: type[Model], statement: str, keys: Sequence[object]) -> list[Any]:
    """Instances of the model; `{keys}` in the statement stands for the keys, as often as it occurs.
    Its columns are fields of the model, or else further attributes of the instances, as the
    database has them. Fields that it leaves out are read when they are asked for, one by one."""
    if not keys:
        return []
    marks = ", ".join(["%s"] * len(keys))
    parameters = [*keys] * statement.count("{keys}")
    return list(model._default_manager.raw(statement.replace("{keys}", marks), parameters))


def row(model: type[M], key: object) -> M:
    """By its primary key. Raises ObjectDoesNotExist."""
    table = model._meta.db_table
    found: list[M] = rows(model, f'SELECT * FROM "{table}" WHERE id = {{keys}}', [key])
    if not found:
        raise ObjectDoesNotExist(f"{table} {key}")
    return found[0]


def read_related(instance: Model, *names: str) -> None:
    """Read the rows that these foreign keys point to, as `select_related` would."""
    for name in names:
        field = instance._meta.get_field(name)
        assert isinstance(field, ForeignKey)
        key = getattr(instance, field.attname)
        setattr(instance, name, None if key is None else row(field.related_model, key))
