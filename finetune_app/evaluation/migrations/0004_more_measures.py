from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("evaluation", "0003_looks_at_fresh_prompts")]

    operations = [
        migrations.AlterField(
            model_name="evaluation",
            name="measure",
            field=models.CharField(max_length=8),
        ),
        migrations.AlterField(
            model_name="trivialanswer",
            name="baseline",
            field=models.CharField(
                choices=[
                    ("repeat", "Repeating the question"),
                    ("commonest", "Always the commonest answer"),
                    ("constant", "Always the same answer, the one that scores best"),
                    ("constant_repeat", "The same answer, and the question behind it"),
                    ("nearest_words", "The answer of the example with the nearest words"),
                    ("nearest_meaning", "The answer of the example nearest in meaning"),
                    ("rules", "Keeping the rules and saying nothing"),
                ],
                max_length=16,
            ),
        ),
    ]
