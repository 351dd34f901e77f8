from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("evaluation", "0004_more_measures"),
    ]

    operations = [
        migrations.AddField(
            model_name="evaluation",
            name="recall",
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name="evaluation",
            name="refusals",
            field=models.JSONField(default=dict),
        ),
    ]
