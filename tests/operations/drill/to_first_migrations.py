"""Migrates every app of ours back to its first migration, and forward again.

Prints one line of JSON: the migrations, and the rows of each table before, between and after.
"""

import json

import django

django.setup()

from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from row_counts import row_counts

FIRST = "0001_initial"


def migrate(targets: list[tuple[str, str | None]]) -> list[str]:
    executor = MigrationExecutor(connection)
    plan = [f"{migration}" for migration, _backwards in executor.migration_plan(targets)]
    executor.migrate(targets)
    return plan


def came_later(app: str) -> bool:
    """Whether the app was not there at first: its first migration needs a later one of another."""
    needed = graph.nodes[app, FIRST].dependencies
    return any(name not in (FIRST, "__first__") and other in apps for other, name in needed)


graph = MigrationExecutor(connection).loader.graph
apps = {
    app
    for app, _last in graph.leaf_nodes()
    if (app, FIRST) in graph.nodes
    and type(graph.nodes[app, FIRST]).__module__.startswith("finetune_app.")
}
ours = [(app, None if came_later(app) else FIRST) for app in sorted(apps)]
before = row_counts()
back = migrate(ours)
between = row_counts()
forward = migrate(graph.leaf_nodes())
print(
    json.dumps(
        {
            "apps": len(ours),
            "back": back,
            "forward": forward,
            "rows": [before, between, row_counts()],
        }
    )
)
