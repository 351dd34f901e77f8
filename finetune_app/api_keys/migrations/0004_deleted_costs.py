from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("api_keys", "0003_rotated_by")]

    operations = [
        migrations.AddField(
            model_name="apikey",
            name="deleted_costs",
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name="apikey",
            name="deleted_month",
            field=models.DateField(blank=True, null=True),
        ),
    ]
