"""Takes the database back to the schema that it had at a backup, and keeps what was added since.

For the way back to an older version of Finetune: only the newer one knows how to undo its
migrations.
"""

import tarfile
from pathlib import Path

from django.db import connection
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor

from finetune_app.operations.errors import BackupError
from finetune_app.operations.exclusive_use import InstallationInUse, exclusive_use
from finetune_app.operations.restores import NOT_A_BACKUP, read_manifest

USE_RESTORE = "Put the older version in place and restore the backup with it instead."
Target = tuple[str, str | None]  # an app, and its last migration that stays


def roll_back(source: Path) -> list[str]:
    """Undo the migrations that the backup does not have; returns their names.

    Raises BackupError while anything uses the installation, for a file that does not say which
    migrations it has, and if one cannot be undone; nothing is changed then.
    """
    if not tarfile.is_tarfile(source):
        raise BackupError(NOT_A_BACKUP.format(source))
    with tarfile.open(source) as archive:
        manifest = read_manifest(archive)
    if manifest is None:
        raise BackupError(f"{source} does not say which schema it has. {USE_RESTORE}")
    try:
        with exclusive_use():
            return _undo_all_but(manifest["migrations"])
    except InstallationInUse as error:
        raise BackupError(str(error)) from error


def _undo_all_but(kept: dict[str, list[str]]) -> list[str]:
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
