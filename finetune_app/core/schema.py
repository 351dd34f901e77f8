"""Whether the database is older or newer than this version of Finetune, by its migrations."""

from collections.abc import Iterable
from functools import lru_cache

from django.apps import apps
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

Migration = tuple[str, str]  # (label of its app, name)


class NewerDatabase(Exception):
    """The message names a migration of a newer version, and says what to do."""


def is_behind() -> bool:
    """Whether the database lacks migrations of this version."""
    return bool(_newest() - set(_applied()))


def refuse_newer() -> None:
    """Raises NewerDatabase if a newer version of Finetune migrated the database."""
    if unknown := unknown_migrations(_applied()):
        raise NewerDatabase(
            "The database was changed by a newer version of Finetune (this one does not know "
            f"{unknown[-1]}). Start that version, or go back as docs/upgrade.md says."
        )


def unknown_migrations(applied: Iterable[Migration]) -> list[str]:
    """Those of `applied` that only a newer version has, as APP.NAME.

    Migrations of installed libraries do not count, as a library may drop its old ones.
    """
    configs = apps.get_app_configs()
    libraries = {config.label for config in configs if not config.name.startswith("finetune_app.")}
    return sorted(f"{app}.{name}" for app, name in set(applied) - _known() if app not in libraries)


def _applied() -> list[Migration]:
    return list(MigrationRecorder(connection).applied_migrations())


@lru_cache(maxsize=1)
def _known() -> frozenset[Migration]:
    return frozenset(MigrationLoader(None).disk_migrations or ())


@lru_cache(maxsize=1)
def _newest() -> frozenset[Migration]:
    return frozenset(MigrationLoader(None).graph.leaf_nodes())
