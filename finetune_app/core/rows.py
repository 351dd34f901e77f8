"""Single rows by their primary key, for requests that cannot wait for Django to write a statement:
that takes longer than a database needs to answer it (docs/benchmarks/web.md)."""

from typing import TypeVar

from django.core.exceptions import ObjectDoesNotExist
from django.db.models import ForeignKey, Model

M = TypeVar("M", bound=Model)


def row(model: type[M], key: object) -> M:
    """Raises ObjectDoesNotExist."""
    table = model._meta.db_table
    for found in model._default_manager.raw(f'SELECT * FROM "{table}" WHERE id = %s', [key]):
        return found
    raise ObjectDoesNotExist(f"{table} {key}")


def read_related(instance: Model, *names: str) -> None:
    """Read the rows that these foreign keys point to, as `select_related` would."""
    for name in names:
        field = instance._meta.get_field(name)
        assert isinstance(field, ForeignKey)
        key = getattr(instance, field.attname)
        setattr(instance, name, None if key is None else row(field.related_model, key))
