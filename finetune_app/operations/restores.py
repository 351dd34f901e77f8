"""Puts a backup in the place of an installation's database, files and secrets."""

import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db import connection, connections
from django.db.migrations.executor import MigrationExecutor

from finetune_app.core import files
from finetune_app.core.schema import unknown_migrations
from finetune_app.core.secrets import (
    Secrets,
    names_set_otherwise,
    write_secrets,
)
from finetune_app.knowledge import services as knowledge
from finetune_app.operations.archives import (
    DATABASE,
    DUMP,
    ENCRYPTED_SECRETS,
    NOT_A_BACKUP,
    SECRETS,
    open_archive,
    read_manifest,
    read_secrets,
)
from finetune_app.operations.backups import FOLDERS, UNSAVED_FOLDERS, has_goals
from finetune_app.operations.errors import BackupError
from finetune_app.operations.exclusive_use import exclusive_use
from finetune_app.operations.postgres import replace_postgres
from finetune_app.operations.schema_upgrade import is_first_schema


@dataclass(frozen=True)
class Restored:
    removed: list[str]  # files that the backup does not hold
    other_secrets: list[str]  # environment variables that set another secret than the backup's


def restore(source: Path, *, force: bool = False) -> Restored:
    """Restore a backup into DATA_DIR, the store of files and the database.

    Raises BackupError while anything uses the installation, for a file that is not a backup, is
    damaged or was made by a newer version, for another passphrase, and without `force` if there
    are goals already.
    """
    data = Path(settings.DATA_DIR)
    with open_archive(source) as archive:
        _check(archive, source)
        secrets = read_secrets(archive)
        with exclusive_use():
            if has_goals() and not force:
                raise BackupError(
                    f"There are goals in {data} already. Add --force to put the backup in their "
                    "place."
                )
            with tempfile.TemporaryDirectory(prefix="finetune-restore-", dir=data) as folder:
                archive.extractall(folder, filter="data")
                restored = _replace_data(Path(folder), data, secrets)
                _bring_up_to_date()
    return restored


def _check(archive: tarfile.TarFile, source: Path) -> None:
    names = archive.getnames()
    if not {SECRETS, ENCRYPTED_SECRETS} & set(names) or not {DATABASE, DUMP} & set(names):
        raise BackupError(NOT_A_BACKUP.format(source))
    if (DATABASE in names) != settings.ON_SQLITE:
        raise BackupError("That backup is of another kind of database (see DATABASE_URL).")
    manifest = read_manifest(archive)
    if manifest is None:
        return
    unknown = unknown_migrations(
        (app, name) for app, applied in manifest["migrations"].items() for name in applied
    )
    if unknown:
        raise BackupError(
            "That backup was made by a newer version of Finetune "
            f"(this one does not know {unknown[-1]}). Restore it with that version."
        )


def _replace_data(found: Path, data: Path, secrets: Secrets) -> Restored:
    connections.close_all()
    if settings.ON_SQLITE:
        place = Path(connection.settings_dict["NAME"])
        for suffix in ("-wal", "-shm"):
            place.with_name(place.name + suffix).unlink(missing_ok=True)
        shutil.move(found / DATABASE, place)
    else:
        replace_postgres(found / DUMP)
    removed = [name for folder in FOLDERS for name in _replace_folder(found, data, folder)]
    # Numbers are given again after a restore: a new job would go on from those of another.
    for folder in UNSAVED_FOLDERS:
        _replace_folder(found, data, folder)
    other_secrets = names_set_otherwise(secrets)
    write_secrets(data, secrets)
    return Restored(removed, other_secrets)


def _bring_up_to_date() -> None:
    """Migrate a database of an older version, then queue what backups leave out."""
    if is_first_schema():
        return  # `manage.py prepare` carries it over
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        call_command("migrate", verbosity=0, interactive=False)
    knowledge.rebuild_missing_indexes()


def _replace_folder(found: Path, data: Path, folder: str) -> list[str]:
    """Returns the names of the files that are gone."""
    kept = set(_files_in(found, folder))
    here = files.names_below(folder) if not files.is_local() else _files_in(data, folder)
    _empty(data / folder)
    if (found / folder).exists():
        (data / folder).mkdir(parents=True, exist_ok=True)
        for path in (found / folder).iterdir():
            shutil.move(path, data / folder / path.name)
        files.publish_folder(folder)
    removed = sorted(set(here) - kept)
    if not files.is_local():
        for name in removed:
            default_storage.delete(name)
    return removed


def _empty(folder: Path) -> None:
    """The folder itself stays: it may be a link to another disk, or a disk of its own."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _files_in(root: Path, folder: str) -> list[str]:
    return [
        path.relative_to(root).as_posix() for path in (root / folder).rglob("*") if path.is_file()
    ]
