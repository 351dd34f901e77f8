"""Links for votes, voters, and control pairs."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def delete_votes_that_need_voters(apps, schema_editor):
    """An earlier version knows neither voters without an account nor control pairs."""
    votes = apps.get_model("evaluation", "Vote").objects
    votes.filter(by=None).delete()
    votes.exclude(control="").delete()


class Migration(migrations.Migration):
    dependencies = [
        ("evaluation", "0005_safety_probes"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="VoteLink",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("secret_hash", models.CharField(max_length=64, unique=True)),
                ("note", models.CharField(blank=True, max_length=300)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("expires_at", models.DateTimeField()),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "evaluation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="vote_links",
                        to="evaluation.evaluation",
                    ),
                ),
            ],
            options={"ordering": ["-pk"]},
        ),
        migrations.CreateModel(
            name="Voter",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(blank=True, max_length=60)),
                ("blind", models.BooleanField(default=True)),
                ("pairs", models.JSONField(default=list)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "evaluation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="voters",
                        to="evaluation.evaluation",
                    ),
                ),
                (
                    "link",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="voters",
                        to="evaluation.votelink",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["pk"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("evaluation", "user"), name="one_voter_a_member"
                    )
                ],
            },
        ),
        migrations.RemoveConstraint(model_name="vote", name="one_vote_a_person"),
        migrations.AddField(
            model_name="vote",
            name="voter",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="votes",
                to="evaluation.voter",
            ),
        ),
        migrations.AddField(
            model_name="vote",
            name="control",
            field=models.CharField(
                blank=True,
                choices=[
                    ("repeat", "the question repeated"),
                    ("nearest_meaning", "the answer of the nearest example"),
                ],
                default="",
                max_length=16,
            ),
            preserve_default=False,
        ),
        migrations.AlterField(
            model_name="vote",
            name="by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AlterField(
            model_name="vote",
            name="choice",
            field=models.CharField(
                choices=[
                    ("base", "base"),
                    ("ours", "ours"),
                    ("control", "control"),
                    ("tie", "tie"),
                    ("both_bad", "both bad"),
                ],
                max_length=8,
            ),
        ),
        migrations.AlterField(
            model_name="vote", name="left_was", field=models.CharField(max_length=16)
        ),
        migrations.AddConstraint(
            model_name="vote",
            constraint=models.UniqueConstraint(
                fields=("voter", "index", "control"), name="one_vote_a_voter"
            ),
        ),
        # Last, so that it comes first on the way back.
        migrations.RunPython(migrations.RunPython.noop, delete_votes_that_need_voters),
    ]
