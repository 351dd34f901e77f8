"""Takes the database back to the schema that it had at a backup, and keeps what was added since.

For the way back to an older version of Finetune: only the newer one knows how to undo its
migrations.
"""

from pathlib import Path

from django.db import connection
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor

from finetune_app.operations.archives import open_archive, read_manifest
from finetune_app.operations.errors import BackupError

USE_RESTORE = "Put the older version in place and restore the backup with it instead."
Migrations = dict[str, list[str]]  # names of migrations, by app
Target = tuple[str, str | None]  # an app, and its last migration that stays


def migrations_of(source: Path) -> Migrations:
    """Those that a backup has. Raises BackupError for any other file and for one without them."""
    with open_archive(source) as archive:
        manifest = read_manifest(archive)
    if manifest is None:
        raise BackupError(f"{source} does not say which schema it has. {USE_RESTORE}")
    return manifest["migrations"]


def undo_all_but(kept: Migrations) -> list[str]:
    """Undo the applied migrations that are not kept; returns their names.

    Needs the installation alone. Raises BackupError, before anything is changed, if one cannot be
    undone.
    """
    executor = MigrationExecutor(connection)
    graph = executor.loader.graph
    unknown = [(app, name) for app, names in kept.items() for name in names]
    unknown = [key for key in unknown if key not in graph.nodes]
    if unknown:
        raise BackupError(f"This version does not know {'.'.join(unknown[0])}. {USE_RESTORE}")
    targets: list[Target] = []
    for app, name in executor.loader.applied_migrations:
        if (app, name) in graph.nodes and name not in kept.get(app, []):
            targets.append((app, max(kept[app]) if app in kept else None))
    targets = sorted(set(targets))
    plan = executor.migration_plan(targets)
    for migration, _backwards in plan:
        if not _is_reversible(migration):
            raise BackupError(f"The migration {migration} cannot be undone. {USE_RESTORE}")
    executor.migrate(targets, plan=plan)
    return [str(migration) for migration, _backwards in plan]


def _is_reversible(migration: Migration) -> bool:
    return all(operation.reversible for operation in migration.operations)
