"""Looks also keep what was scored at each prompt, from now on."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("evaluation", "0011_judges_heard")]

    operations = [
        migrations.AddField("testsetlook", "results", models.JSONField(default=list)),
    ]
