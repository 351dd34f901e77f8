"""The text that the table searches, in place of an index that triggers kept."""

from django.db import migrations, models
from django.db.models.functions import Concat, Upper

SQLITE = """
DROP TRIGGER IF EXISTS datasets_words_insert;
DROP TRIGGER IF EXISTS datasets_words_update;
DROP TRIGGER IF EXISTS datasets_words_delete;
DROP TABLE IF EXISTS datasets_words
"""
POSTGRESQL = """
DROP FUNCTION IF EXISTS datasets_words_keep CASCADE;
DROP TABLE IF EXISTS datasets_words
"""


def drop_trigram_index(apps, schema_editor):
    statements = SQLITE if schema_editor.connection.vendor == "sqlite" else POSTGRESQL
    for statement in statements.split(";"):
        schema_editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("datasets", "0001_initial")]

    operations = [
        migrations.RunPython(drop_trigram_index, migrations.RunPython.noop),
        migrations.AddField(
            model_name="example",
            name="search_text",
            field=models.GeneratedField(
                expression=Upper(Concat("prompt", models.Value("\n", models.TextField()), "answer")),
                output_field=models.TextField(),
                db_persist=True,
            ),
        ),
    ]
