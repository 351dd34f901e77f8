"""A run remembers the rows that its candidate could not answer."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("candidates", "0003_thinking")]

    operations = [
        migrations.AddField("suggestionrun", "refused", models.JSONField(default=list)),
    ]
