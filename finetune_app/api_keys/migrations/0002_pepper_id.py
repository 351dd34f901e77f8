from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("api_keys", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="apikey",
            name="pepper_id",
            field=models.CharField(blank=True, default="", max_length=8),
        ),
    ]
