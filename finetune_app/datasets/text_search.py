"""Full-text search in examples.

A large dataset has an index of the sequences of three characters in its texts, kept by triggers
of the database itself: SQLite's FTS5, or PostgreSQL's pg_trgm where it may be installed. The index
only proposes rows, which are then searched. Rows are scanned without it for a text that very many
rows contain, and in a small dataset. For one or two characters SQLite scans the rows too;
PostgreSQL scans the index's table, whose texts are in upper case already, which is quicker.

The index is a table of its own, so changing the status of a million rows does not touch it. It is
created after every migration and not by one, because SQLite drops triggers when Django rebuilds
a table.
"""

from functools import cache
from typing import Any

from django.db import DatabaseError, connection, transaction
from django.db.models import Q, Value
from django.db.models.functions import StrIndex, Upper
from django.db.models.lookups import GreaterThan

from finetune_app.datasets.models import Dataset

MIN_ROWS = 20_000  # the index is used for datasets with more rows
MAX_PROPOSED = 5_000  # rows; a text that more rows contain is found sooner by scanning in order
TRIGRAM = 3  # characters
MAX_TRIGRAMS = 40  # of one searched text


def matching(dataset: Dataset, text: str) -> Q:
    """The examples of this dataset whose prompt or answer contains `text`."""
    keys = proposed_keys(dataset, text)
    return containing(text) if keys is None else Q(pk__in=keys) & containing(text)


def containing(text: str) -> Q:
    """The examples whose prompt or answer contains `text`, ignoring case."""
    if connection.vendor == "sqlite":
        return Q(prompt__icontains=text) | Q(answer__icontains=text)
    # PostgreSQL expects few rows of such a LIKE and would sort all it finds; here it expects many
    # and reads them in order, until the page is full.
    wanted = Upper(Value(text))
    return Q(
        *(GreaterThan(StrIndex(Upper(name), wanted), 0) for name in ("prompt", "answer")),
        _connector=Q.OR,
    )


def proposed_keys(dataset: Dataset, text: str) -> list[int] | None:
    """Keys of all rows that may contain `text`; None where the rows have to be scanned."""
    if dataset.last_number <= MIN_ROWS or not has_index(connection.vendor):
        return None
    if connection.vendor == "sqlite":
        if len(text) < TRIGRAM:
            return None
        # A cross join is read in the order it is written: the index first, then each row.
        query = (
            "SELECT example.id FROM datasets_words CROSS JOIN datasets_example AS example "
            "WHERE example.id = datasets_words.rowid AND datasets_words MATCH %s "
            "AND example.dataset_id = %s LIMIT %s"
        )
        pattern = _trigram_query(text)
    else:
        query = (
            "SELECT example_id FROM datasets_words WHERE words LIKE upper(%s) AND dataset_id = %s "
            "LIMIT %s"
        )
        escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        pattern = f"%{escaped}%"
    with connection.cursor() as cursor:
        cursor.execute(query, [pattern, dataset.pk, MAX_PROPOSED + 1])
        keys = [key for (key,) in cursor.fetchall()]
    return keys if len(keys) <= MAX_PROPOSED else None


def _trigram_query(text: str) -> str:
    """An FTS5 query for rows that have every trigram of `text`."""
    trigrams = dict.fromkeys(text[at : at + TRIGRAM] for at in range(len(text) - TRIGRAM + 1))
    quoted = ['"' + one.replace('"', '""') + '"' for one in trigrams]
    return " AND ".join(quoted[:MAX_TRIGRAMS])


@cache
def has_index(vendor: str) -> bool:
    return "datasets_words" in connection.introspection.table_names()


def create_index(**kwargs: Any) -> None:
    """Create the index and its triggers where they are missing. Runs after every migration."""
    has_index.cache_clear()
    if connection.vendor == "sqlite":
        _execute(SQLITE, "SELECT 1 FROM sqlite_master WHERE name = 'datasets_words_insert'")
    elif connection.vendor == "postgresql":
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        except DatabaseError:
            return  # the owner of the database has to allow it; search scans the rows
        _execute(POSTGRESQL, "SELECT to_regclass('datasets_words_trigrams')")


def _execute(statements: str, exists: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        if "datasets_example" not in connection.introspection.table_names(cursor):
            return
        cursor.execute(exists)
        found = cursor.fetchone()
        if found and found[0]:
            return
        for statement in statements.strip().split("\n\n"):
            cursor.execute(statement)


# Statements, separated by an empty line.
SQLITE = """
DROP TRIGGER IF EXISTS datasets_words_delete

DROP TRIGGER IF EXISTS datasets_words_update

DROP TABLE IF EXISTS datasets_words

CREATE VIRTUAL TABLE datasets_words USING fts5(prompt, answer,
    content='', tokenize='trigram', detail='none')

INSERT INTO datasets_words(rowid, prompt, answer) SELECT id, prompt, answer FROM datasets_example

CREATE TRIGGER datasets_words_insert AFTER INSERT ON datasets_example BEGIN
    INSERT INTO datasets_words(rowid, prompt, answer) VALUES (new.id, new.prompt, new.answer);
END

CREATE TRIGGER datasets_words_delete AFTER DELETE ON datasets_example BEGIN
    INSERT INTO datasets_words(datasets_words, rowid, prompt, answer)
    VALUES ('delete', old.id, old.prompt, old.answer);
END

CREATE TRIGGER datasets_words_update AFTER UPDATE OF prompt, answer ON datasets_example
WHEN old.prompt <> new.prompt OR old.answer <> new.answer BEGIN
    INSERT INTO datasets_words(datasets_words, rowid, prompt, answer)
    VALUES ('delete', old.id, old.prompt, old.answer);
    INSERT INTO datasets_words(rowid, prompt, answer) VALUES (new.id, new.prompt, new.answer);
END
"""

POSTGRESQL = """
DROP TABLE IF EXISTS datasets_words

CREATE TABLE datasets_words (
    example_id bigint PRIMARY KEY, dataset_id bigint NOT NULL, words text NOT NULL)

INSERT INTO datasets_words
    SELECT id, dataset_id, upper(prompt || E'\\n' || answer) FROM datasets_example

CREATE INDEX datasets_words_trigrams ON datasets_words USING gin (words gin_trgm_ops)

CREATE OR REPLACE FUNCTION datasets_words_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        TRUNCATE datasets_words;
    ELSIF TG_OP = 'DELETE' THEN
        DELETE FROM datasets_words WHERE example_id = old.id;
    ELSE
        INSERT INTO datasets_words
            VALUES (new.id, new.dataset_id, upper(new.prompt || E'\\n' || new.answer))
        ON CONFLICT (example_id)
            DO UPDATE SET dataset_id = excluded.dataset_id, words = excluded.words;
    END IF;
    RETURN NULL;
END $$

CREATE OR REPLACE TRIGGER datasets_words_rows AFTER INSERT OR DELETE OR UPDATE OF prompt, answer
    ON datasets_example FOR EACH ROW EXECUTE FUNCTION datasets_words_keep()

DROP TRIGGER IF EXISTS datasets_words_all ON datasets_example

CREATE TRIGGER datasets_words_all AFTER TRUNCATE ON datasets_example
    FOR EACH STATEMENT EXECUTE FUNCTION datasets_words_keep()
"""
