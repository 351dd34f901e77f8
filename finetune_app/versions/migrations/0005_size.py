from pathlib import Path

from django.conf import settings
from django.db import migrations, models


def measure(apps, schema_editor):
    """The files on this disk. One that is in a store alone stays 0."""
    Version = apps.get_model("versions", "Version")
    for version in Version.objects.only("stored_name"):
        file = Path(settings.DATA_DIR) / version.stored_name
        if file.is_file():
            Version.objects.filter(pk=version.pk).update(size=file.stat().st_size)


class Migration(migrations.Migration):
    dependencies = [
        ("versions", "0004_answer_characters"),
    ]

    operations = [
        migrations.AddField(
            model_name="version",
            name="size",
            field=models.BigIntegerField(default=0),
        ),
        migrations.RunPython(measure, migrations.RunPython.noop),
    ]
