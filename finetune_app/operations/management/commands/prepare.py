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
from finetune_app.core import secrets
from finetune_app.core.machine import this_machine, training_environment
from finetune_app.core.schema import NewerDatabase, refuse_newer
from finetune_app.guide.sample import sample
from finetune_app.operations import backups, schema_upgrade


class Command(BaseCommand):
    help = "Prepare the database and the starter model."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--without-starter", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        self.note_secrets()
        try:
            self.migrate()
        except NewerDatabase as newer:
            raise CommandError(str(newer)) from newer
        if not options["without_starter"]:
            self.install_starter()
            self.measure_speed()

    def note_secrets(self) -> None:
        """So that a command without this environment can tell (`backup`, `doctor`)."""
        data = Path(settings.DATA_DIR)
        others = secrets.names_not_in_force(data, settings.SECRETS)
        if others:
            self.stderr.write(
                f"LOOK: {', '.join(others)} changed since the last start. If nobody meant to, stop "
                "Finetune and set what was set before: API keys, sessions or stored tokens do not "
                "work with others."
            )
        secrets.note_in_force(data, settings.SECRETS)

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
        if BaseModel.objects.filter(slug=STARTER).exists() and _has_weights(STARTER):
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
            str(Path(settings.DATA_DIR) / model.folder),
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
