from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("alerts", "0001_initial")]

    operations = [
        migrations.RemoveConstraint("rule", "one_rule_a_watch"),
        migrations.RenameField("rule", "what", "metric"),
        migrations.RenameField("rule", "streak", "consecutive_checks"),
        migrations.RenameField("rule", "looks", "check_count"),
        migrations.RenameField("rule", "looked_at", "checked_at"),
        migrations.RenameField("notice", "way", "channel"),
        migrations.AddConstraint(
            "rule",
            models.UniqueConstraint(fields=("watch", "metric"), name="one_rule_a_watch"),
        ),
    ]
