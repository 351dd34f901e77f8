"""On the way back, goals lose what an older version does not know: it would not open their pages."""

from django.db import migrations

NEW_KINDS = {"number", "refusal", "items", "pattern", "rouge", "meaning"}
NEW_SETTINGS = {"partial", "max_sentences", "max_characters", "ease"}


def without_new_measures(apps, schema_editor):
    for goal in apps.get_model("goals", "Goal").objects.exclude(measure="").iterator():
        known = {k: v for k, v in goal.measure_settings.items() if k not in NEW_SETTINGS}
        rules = {name: value for name, value in known.items() if name != "ignore_case"}
        if goal.measure in NEW_KINDS or (goal.measure == "rules" and not any(rules.values())):
            goal.measure, known = "", {}  # to be chosen again
        goal.measure_settings = known
        goal.save(update_fields=["measure", "measure_settings"])


class Migration(migrations.Migration):
    dependencies = [("goals", "0002_more_measures")]

    operations = [migrations.RunPython(migrations.RunPython.noop, without_new_measures)]
