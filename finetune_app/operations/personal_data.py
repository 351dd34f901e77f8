"""A copy of what is kept about a person, as a zip of JSON files.

Every table that refers to a person is in it, found by walking the models, so a new one needs no
line here. Rows that go with the person are theirs and come whole. Of what they made for a team
only kind, number and time come: it belongs to the team, which they may have left.
"""

import json
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from typing import IO, Any, TypeAlias

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import CASCADE, DateTimeField, Field, ForeignObjectRel, Model

from finetune_app.accounts.models import User
from finetune_app.audit.models import AuditEntry

FieldOfRow: TypeAlias = "Field[Any, Any]"

# Keys to something, rather than data about somebody.
SECRET_FIELDS = {"password", "session_key", "data", "token", "token_secret"}
MEMORY_BYTES = 1024**2  # a larger copy is put on the disk
README = """What Finetune keeps about you.

account.json      your account
theirs/           would be deleted with your account: memberships, sessions, drafts, answers, ...
made/             what you made for a team, by kind, number and time; its content is the team's
audit.json        your lines of the audit log
"""


def write_copy(user: User) -> IO[bytes]:
    """The zip, as an open file at its beginning."""
    file = tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES)  # noqa: SIM115  (the caller's)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as copy:
        copy.writestr("README.txt", README)
        _write(copy, "account.json", [_values(user, _fields(User))])
        for model, name, is_theirs in tables():
            rows = model._default_manager.filter(**{name: user}).order_by("pk")
            fields = _fields(model) if is_theirs else _times(model)
            folder = "theirs" if is_theirs else "made"
            values = (_values(row, fields) for row in rows.iterator(500))
            _write(copy, f"{folder}/{model._meta.label}.{name}.json", values)
        lines = AuditEntry.objects.filter(actor_id=user.pk).order_by("pk")
        fields = _fields(AuditEntry)
        _write(copy, "audit.json", (_values(line, fields) for line in lines.iterator(500)))
    file.seek(0)
    return file


def tables() -> Iterator[tuple[type[Model], str, bool]]:
    """(model, its field, whether its rows are the person's own) of all that refer to a person."""
    for relation in User._meta.get_fields(include_hidden=True):
        if not isinstance(relation, ForeignObjectRel) or relation.many_to_many:
            continue
        model = relation.related_model
        if isinstance(model, type):
            yield model, relation.field.name, relation.on_delete is CASCADE


def _fields(model: type[Model]) -> list[FieldOfRow]:
    return [field for field in model._meta.concrete_fields if field.name not in SECRET_FIELDS]


def _times(model: type[Model]) -> list[FieldOfRow]:
    fields = model._meta.concrete_fields
    return [field for field in fields if field.primary_key or isinstance(field, DateTimeField)]


def _values(row: Model, fields: list[FieldOfRow]) -> dict[str, Any]:
    return {field.attname: field.value_from_object(row) for field in fields}


def _write(copy: zipfile.ZipFile, name: str, rows: Iterable[dict[str, Any]]) -> None:
    """A list, written row by row."""
    with copy.open(name, "w") as file:
        mark = "["
        for row in rows:
            text = json.dumps(row, cls=DjangoJSONEncoder, ensure_ascii=False, indent=1)
            file.write(f"{mark}\n{text}".encode())
            mark = ","
        file.write(b"[]\n" if mark == "[" else b"\n]\n")
