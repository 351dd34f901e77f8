"""Finding a text among many examples.

A small set is looked through. A large one has an index of the runs of three characters in its
texts, kept by the database itself: SQLite's FTS5, or PostgreSQL's pg_trgm where its owner allows
it. The index only proposes; the text itself decides, so the same rows are found without it.

The index is a table of its own: changing the status of a million rows leaves it alone. It is
put up after every migration and not by one, because SQLite forgets triggers when Django makes a
table anew.
"""

from functools import cache
from typing import Any

from django.db import DatabaseError, connection, transaction
from django.db.models import Q

from finetune_app.datasets.models import Dataset

LARGE = 20_000  # numbers given out from which the index is asked
MOST = 5_000  # rows; what more of them say is found soonest by looking through them in order
RUN = 3  # characters


def saying(text: str) -> Q:
    """The examples whose prompt or answer says `text`, whatever its capitals."""
    return Q(prompt__icontains=text) | Q(answer__icontains=text)


def matching(dataset: Dataset, text: str) -> Q:
    """The same for the examples of one dataset, by the index where that is sooner."""
    said = saying(text)
    if dataset.last_number <= LARGE or len(text) < RUN or not has_index(connection.vendor):
        return said
    proposed = _proposed(dataset, text)
    return said if len(proposed) > MOST else said & Q(pk__in=proposed)


def _proposed(dataset: Dataset, text: str) -> list[int]:
    """Keys of rows that may say it; more than MOST when these are too many to list."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            runs = dict.fromkeys(text[at : at + RUN] for at in range(len(text) - RUN + 1))
            wanted = " AND ".join('"' + run.replace('"', '""') + '"' for run in list(runs)[:40])
            cursor.execute(
                # A cross join is read in the order it is written: the index first, each row after.
                "SELECT example.id FROM datasets_words CROSS JOIN datasets_example AS example "
                "WHERE example.id = datasets_words.rowid AND datasets_words MATCH %s "
                "AND example.dataset_id = %s LIMIT %s",
                [wanted, dataset.pk, MOST + 1],
            )
        else:
            pattern = "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
            cursor.execute(
                "SELECT example_id FROM datasets_words "
                "WHERE words ILIKE %s AND dataset_id = %s LIMIT %s",
                [pattern, dataset.pk, MOST + 1],
            )
        return [key for (key,) in cursor.fetchall()]


@cache
def has_index(vendor: str) -> bool:
    return "datasets_words" in connection.introspection.table_names()


def put_up(**kwargs: Any) -> None:
    """Make the index where there is none, and have it kept. Runs after every migration."""
    has_index.cache_clear()
    if connection.vendor == "sqlite":
        _put_up(SQLITE, "SELECT 1 FROM sqlite_master WHERE name = 'datasets_words_insert'")
    elif connection.vendor == "postgresql":
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        except DatabaseError:
            return  # the owner of the database has to allow it; search looks through the rows
        _put_up(POSTGRESQL, "SELECT to_regclass('datasets_words')")


def _put_up(statements: str, there: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        if "datasets_example" not in connection.introspection.table_names(cursor):
            return
        cursor.execute(there)
        found = cursor.fetchone()
        if found and found[0]:
            return
        for statement in statements.strip().split("\n\n"):
            cursor.execute(statement)


# Statements, with an empty line between them.
SQLITE = """
DROP TABLE IF EXISTS datasets_words

CREATE VIRTUAL TABLE datasets_words USING fts5(prompt, answer,
    content='datasets_example', content_rowid='id', tokenize='trigram', detail='none')

INSERT INTO datasets_words(datasets_words) VALUES ('rebuild')

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
CREATE TABLE datasets_words (
    example_id bigint PRIMARY KEY, dataset_id bigint NOT NULL, words text NOT NULL)

INSERT INTO datasets_words
    SELECT id, dataset_id, prompt || E'\\n' || answer FROM datasets_example

CREATE INDEX datasets_words_runs ON datasets_words USING gin (words gin_trgm_ops)

CREATE OR REPLACE FUNCTION datasets_words_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        TRUNCATE datasets_words;
    ELSIF TG_OP = 'DELETE' THEN
        DELETE FROM datasets_words WHERE example_id = old.id;
    ELSE
        INSERT INTO datasets_words
            VALUES (new.id, new.dataset_id, new.prompt || E'\\n' || new.answer)
        ON CONFLICT (example_id)
            DO UPDATE SET dataset_id = excluded.dataset_id, words = excluded.words;
    END IF;
    RETURN NULL;
END $$

CREATE TRIGGER datasets_words_rows AFTER INSERT OR DELETE OR UPDATE OF prompt, answer
    ON datasets_example FOR EACH ROW EXECUTE FUNCTION datasets_words_keep()

CREATE TRIGGER datasets_words_all AFTER TRUNCATE ON datasets_example
    FOR EACH STATEMENT EXECUTE FUNCTION datasets_words_keep()
"""
