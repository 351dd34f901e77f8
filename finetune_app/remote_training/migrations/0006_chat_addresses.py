"""Addresses of models had two slashes where that of their account ends in one."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

CHAT_PATHS = ("/inference/v1", "/v1")  # of Fireworks and of Vertex


def correct(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    endpoints = apps.get_model("providers", "Endpoint").objects
    for account in apps.get_model("remote_training", "PlatformAccount").objects.filter(
        platform__in=("fireworks", "vertex"), url__endswith="/"
    ):
        for path in CHAT_PATHS:
            wrong, right = f"{account.url}{path}", f"{account.url.rstrip('/')}{path}"
            endpoints.filter(team=account.team_id, url=wrong).update(url=right)


class Migration(migrations.Migration):
    dependencies = [
        ("providers", "0002_api"),
        ("remote_training", "0005_cancel_tried_at"),
    ]
    operations = [migrations.RunPython(correct, migrations.RunPython.noop)]
