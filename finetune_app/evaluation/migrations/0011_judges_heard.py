"""How many judges were heard on an evaluation, those whose opinion was deleted included."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("evaluation", "0010_groups_of_prompts")]

    operations = [
        migrations.AddField("evaluation", "judges_heard", models.PositiveIntegerField(default=0)),
    ]
