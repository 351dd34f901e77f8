"""The judges that were heard before they were counted: those whose opinion is still there."""

from django.db import migrations
from django.db.models import F


def count_judges_heard(apps, schema_editor):
    evaluations = apps.get_model("evaluation", "Evaluation").objects
    for run in apps.get_model("judging", "JudgeRun").objects.exclude(result={}).iterator():
        if run.result.get("split"):
            evaluations.filter(pk=run.evaluation_id).update(judges_heard=F("judges_heard") + 1)


class Migration(migrations.Migration):
    dependencies = [("judging", "0001_initial"), ("evaluation", "0011_judges_heard")]

    operations = [migrations.RunPython(count_judges_heard, migrations.RunPython.noop)]
