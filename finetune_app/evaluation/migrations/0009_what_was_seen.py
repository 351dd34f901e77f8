"""Looks also keep the questions and what was compared, where that is still known."""

from django.db import migrations, models

from finetune_app.evaluation import held_out


def describe_earlier_looks(apps, schema_editor):
    looks = apps.get_model("evaluation", "TestSetLook").objects.filter(comparison={})
    for look in looks.exclude(evaluation=None).select_related("evaluation__version"):
        evaluation = look.evaluation
        try:
            prompts = held_out.read_test_prompts(evaluation.version, evaluation.test_rows)
        except Exception:  # no file, or no store: the look counts by its numbers, as it did
            continue
        look.prompt_hashes = [prompt.prompt_hash for prompt in prompts]
        look.comparison = {
            "base": evaluation.base_id,
            "ours": evaluation.ours_id,
            "measure": evaluation.measure,
            "measure_settings": evaluation.measure_settings,
            "prompts": held_out.fingerprint(prompts),
        }
        look.save(update_fields=["prompt_hashes", "comparison"])


class Migration(migrations.Migration):
    dependencies = [("evaluation", "0008_thoughts")]

    operations = [
        migrations.AddField("testsetlook", "prompt_hashes", models.JSONField(default=list)),
        migrations.AddField("testsetlook", "comparison", models.JSONField(default=dict)),
        migrations.RunPython(describe_earlier_looks, migrations.RunPython.noop),
    ]
