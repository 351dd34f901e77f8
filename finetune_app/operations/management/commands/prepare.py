"""manage.py prepare: migrates the database and installs the starter model.

Fast when there is nothing to do. A database that contains goals is backed up first.
"""

import json
import os
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from finetune_app.basemodels import services
from finetune_app.basemodels.catalogue import STARTER
from finetune_app.basemodels.models import BaseModel, Speed
from finetune_app.core import shared_secrets
from finetune_app.core.files import is_local, local_folder, names_below, publish_folder
from finetune_app.core.machine import this_machine, training_environment
from finetune_app.core.schema import NewerDatabase, refuse_newer
from finetune_app.guide.sample import sample
from finetune_app.operations import backups, schema_upgrade
from finetune_app.operations.postgres import one_migration_at_a_time


class Command(BaseCommand):
    help = "Prepare the database and the starter model."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--without-starter", action="store_true")
        parser.add_argument(
            "--accept-secrets",
            action="store_true",
            help="The secrets of this host were meant to change.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with one_migration_at_a_time():
            try:
                self.migrate()
            except NewerDatabase as newer:
                raise CommandError(str(newer)) from newer
        self.share_secrets(accept=options["accept_secrets"])
        if not options["without_starter"]:
            self.install_starter()
            self.measure_speed()

    def share_secrets(self, *, accept: bool) -> None:
        """So that another host, or a command without this environment, can tell that its secrets
        are others."""
        others = shared_secrets.names_that_differ()
        if others and not accept:
            raise CommandError(shared_secrets.explain(others))
        shared_secrets.note(settings.SECRETS)

    def migrate(self) -> None:
        if schema_upgrade.is_first_schema():
            self.upgrade_schema()
            return
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        refuse_newer()
        if not plan:
            return
        if executor.loader.applied_migrations and backups.has_goals():
            self.stdout.write("Backing up before the database changes shape.")
            call_command("backup", stdout=self.stdout)
        self.stdout.write("Preparing the database.")
        call_command("migrate", verbosity=0, interactive=False)

    def upgrade_schema(self) -> None:
        self.stdout.write("Backing up before the database changes shape.")
        call_command("backup", stdout=self.stdout)
        self.stdout.write("Carrying the older database over.")
        try:
            schema_upgrade.upgrade()
        except schema_upgrade.UpgradeError as error:
            raise CommandError(str(error)) from error

    def install_starter(self) -> None:
        """Make it here, or do nothing where the shared store has it from another machine."""
        model = BaseModel.objects.filter(slug=STARTER).first()
        if model and _is_in_shared_store(model):
            return
        if model and _has_weights(STARTER):
            publish_folder(model.folder)
            return
        command = [
            sys.executable,
            "-m",
            "worker.installs.starter",
            "--to",
            str(Path(settings.DATA_DIR) / "models"),
        ]
        if subprocess.call(command, cwd=settings.BASE_DIR, env=_environment()):
            raise CommandError("The starter model is not there yet; see above.")
        services.register_starter()
        publish_folder(f"models/{STARTER}")

    def measure_speed(self) -> None:
        """Measure the training speed once: a few steps of the starter on the sample data."""
        model = BaseModel.objects.get(slug=STARTER)
        device = this_machine(settings.DATA_DIR).device
        if Speed.objects.filter(base_model=model, what="training", device=device).exists():
            return
        self.stdout.write("Measuring how fast this machine learns, less than a minute.")
        command = [
            sys.executable,
            "-m",
            "worker.training.measure_speed",
            str(local_folder(model.folder)),
        ]
        rows = json.dumps([row["messages"] for row in sample().rows[:32]])
        done = subprocess.run(
            command,
            input=rows,
            capture_output=True,
            text=True,
            cwd=settings.BASE_DIR,
            env=_environment(),
        )
        if done.returncode:
            self.stdout.write("It could not be measured; times shown are guesses for now.")
            return
        found = json.loads(done.stdout.strip().splitlines()[-1])
        Speed.objects.create(base_model=model, what="training", device=device, **found)
        self.stdout.write(f"About {found['tokens_per_second']:.0f} tokens a second.")


def _is_in_shared_store(model: BaseModel) -> bool:
    needed = {f"{model.folder}/{name}" for name in model.files}
    return not is_local() and needed <= set(names_below(model.folder))


def _has_weights(slug: str) -> bool:
    return (Path(settings.DATA_DIR) / "models" / slug / "model.safetensors").exists()


def _environment() -> dict[str, str]:
    """Of a training process, without progress bars and log messages."""
    quiet = {
        "TQDM_DISABLE": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
    }
    return training_environment() | dict(os.environ) | quiet
