"""A comparison has the group of its prompt, which counts once."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("evaluation", "0009_what_was_seen")]

    operations = [
        migrations.AddField("comparison", "group", models.CharField(max_length=64, blank=True)),
    ]
