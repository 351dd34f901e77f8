"""On the way back, evaluations lose what an older version does not know: it would not open them."""

from django.db import migrations

NEW_KINDS = {"number", "refusal", "items", "pattern", "rouge", "meaning"}
NEW_SETTINGS = {"partial", "max_sentences", "max_characters", "ease"}
NEW_BASELINES = ["constant", "constant_repeat"]


def without_new_measures(apps, schema_editor):
    apps.get_model("evaluation", "TrivialAnswer").objects.filter(
        baseline__in=NEW_BASELINES
    ).delete()
    for evaluation in apps.get_model("evaluation", "Evaluation").objects.iterator():
        known = {k: v for k, v in evaluation.measure_settings.items() if k not in NEW_SETTINGS}
        rules = {name: value for name, value in known.items() if name != "ignore_case"}
        if evaluation.measure in NEW_KINDS or (
            evaluation.measure == "rules" and not any(rules.values())
        ):
            evaluation.delete()
            continue
        trivial = evaluation.verdict.get("trivial") or {}
        if trivial.get("baseline") in NEW_BASELINES:
            evaluation.verdict["trivial"] = None
        evaluation.measure_settings = known
        evaluation.save(update_fields=["measure_settings", "verdict"])


class Migration(migrations.Migration):
    dependencies = [("evaluation", "0006_votes_by_link")]

    operations = [migrations.RunPython(migrations.RunPython.noop, without_new_measures)]
