from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("goals", "0001_initial")]

    operations = [
        migrations.AlterField(
            model_name="goal",
            name="measure",
            field=models.CharField(
                blank=True,
                choices=[
                    ("exact", "The exact answer"),
                    ("number", "The right number"),
                    ("refusal", "Declining when it should"),
                    ("json", "Valid JSON with the right fields"),
                    ("xml", "Valid XML with the right fields"),
                    ("items", "The right things in a list"),
                    ("bash", "A bash command that parses"),
                    ("pattern", "What a pattern finds"),
                    ("choice", "A person's blind choice"),
                    ("close", "Close wording"),
                    ("rouge", "The same words in the same order"),
                    ("meaning", "Close in meaning"),
                    ("rules", "Rules you write"),
                ],
                max_length=8,
            ),
        ),
    ]
