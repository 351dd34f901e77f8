from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("knowledge", "0001_initial")]

    operations = [
        migrations.RenameField("document", "stored_name", "folder"),
        migrations.AddField(
            "knowledge", "practice", models.JSONField(blank=True, default=dict)
        ),
    ]
