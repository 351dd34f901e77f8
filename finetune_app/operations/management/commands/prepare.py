"""manage.py prepare: migrates the database and installs the starter model.

Fast when there is nothing to do. A database that contains goals is backed up first.
"""

import gc
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from finetune_app.core import shared_secrets
from finetune_app.core.schema import NewerDatabase, refuse_newer
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
            if schema_upgrade.is_first_schema():
                self.upgrade_schema()
            else:
                self.refuse_wrong_host(accept_secrets=options["accept_secrets"])
                self.migrate()
            shared_secrets.note(settings.SECRETS)
        if not options["without_starter"]:
            call_command("install_starter", stdout=self.stdout)

    def refuse_wrong_host(self, *, accept_secrets: bool) -> None:
        """Before anything is changed: a database of a newer version, and other secrets than it was
        started with."""
        try:
            refuse_newer()
        except NewerDatabase as newer:
            raise CommandError(str(newer)) from newer
        others = shared_secrets.names_that_differ()
        if others and not accept_secrets:
            raise CommandError(shared_secrets.explain(others))
        if others:  # first, since no backup is made with other secrets
            shared_secrets.note(settings.SECRETS)

    def migrate(self) -> None:
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        if not plan:
            return
        if executor.loader.applied_migrations and backups.has_goals():
            self.stdout.write("Backing up before the database changes shape.")
            call_command("backup", stdout=self.stdout)
        self.stdout.write("Preparing the database.")
        # Migrations make and drop thousands of classes. To look for garbage among all else, too,
        # again and again, was a quarter of their time.
        gc.freeze()
        call_command("migrate", verbosity=0, interactive=False)

    def upgrade_schema(self) -> None:
        self.stdout.write("Backing up before the database changes shape.")
        call_command("backup", stdout=self.stdout)
        self.stdout.write("Carrying the older database over.")
        try:
            schema_upgrade.upgrade()
        except schema_upgrade.UpgradeError as error:
            raise CommandError(str(error)) from error
