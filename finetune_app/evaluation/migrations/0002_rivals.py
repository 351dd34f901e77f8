"""Any number of candidates may take part, and the one in question need not be a tuned one."""

from django.db import migrations, models


def prompted_is_a_rival(apps, schema_editor):
    for evaluation in apps.get_model("evaluation", "Evaluation").objects.exclude(prompted=None):
        evaluation.rivals.add(evaluation.prompted)


def tuned_is_ours(apps, schema_editor):
    votes = apps.get_model("evaluation", "Vote").objects
    votes.filter(choice="tuned").update(choice="ours")
    votes.filter(left_was="tuned").update(left_was="ours")


class Migration(migrations.Migration):
    dependencies = [("evaluation", "0001_initial"), ("candidates", "0002_parts")]

    operations = [
        migrations.RenameField("evaluation", "tuned", "ours"),
        migrations.AddField(
            "evaluation", "rivals", models.ManyToManyField(related_name="+", to="candidates.candidate")
        ),
        migrations.RunPython(prompted_is_a_rival, migrations.RunPython.noop),
        migrations.RemoveField("evaluation", "prompted"),
        migrations.AddField(
            "answer", "prompt_tokens", models.PositiveIntegerField(default=0)
        ),
        migrations.AddField("evaluation", "pace", models.JSONField(default=dict)),
        migrations.AddField("answer", "passages", models.JSONField(default=list)),
        migrations.AlterField(
            "vote",
            "choice",
            models.CharField(
                choices=[
                    ("base", "base"), ("ours", "ours"), ("tie", "tie"), ("both_bad", "both bad"),
                ],
                max_length=8,
            ),
        ),
        migrations.RunPython(tuned_is_ours, migrations.RunPython.noop),
    ]
