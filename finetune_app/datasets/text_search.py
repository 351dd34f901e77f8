"""Finding a text among many examples.

A small set is looked through, and so is a large one for what many rows say. For the rest a large
set has an index of the runs of three characters in its texts, kept by the database itself:
SQLite's FTS5, or PostgreSQL's pg_trgm where its owner allows it. One or two characters are the
beginning of runs that FTS5 can list; pg_trgm cannot, so PostgreSQL keeps pairs beside it. The
index only proposes; the text itself decides, so the same rows are found without it.

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
TERMS = 400  # runs that begin with a shorter text; what begins more of them is common
PLACES, SAMPLE = 5, 1_000  # where a large set is tried, and how many numbers there
COMMON = 50  # of a sample: who looks through the rows in order has a page at once


def saying(text: str) -> Q:
    """The examples whose prompt or answer says `text`, whatever its capitals."""
    return Q(prompt__icontains=text) | Q(answer__icontains=text)


def keys(dataset: Dataset, text: str) -> list[int] | None:
    """Keys of the rows of a large set that may say it, all of this set. None where looking
    through the rows is sooner, or is all that can be done."""
    if not is_large(dataset) or not has_index(connection.vendor) or _is_common(dataset, text):
        return None
    ask = _proposed_by_sqlite if connection.vendor == "sqlite" else _proposed_by_postgresql
    with connection.cursor() as cursor:
        found = ask(cursor, dataset, text)
    return None if found is None or len(found) > MOST else found


def is_large(dataset: Dataset) -> bool:
    return dataset.last_number > LARGE


def _is_common(dataset: Dataset, text: str) -> bool:
    """Whether a sample of the rows says it so often that no index is needed."""
    step, found = dataset.last_number // PLACES, 0
    for place in range(0, PLACES * step, step):  # one after the other: SQLite reads all for an OR
        some = dataset.examples.filter(number__gt=place, number__lte=place + SAMPLE)
        found += some.filter(saying(text)).count()
        if found >= COMMON:
            return True
    return False


def _proposed_by_sqlite(cursor: Any, dataset: Dataset, text: str) -> list[int] | None:
    wanted = _runs_of(text) if len(text) >= RUN else _beginning_with(cursor, text)
    if not wanted:  # too many to name; or none, and so no row has it
        return None if wanted is None else []
    between = " AND " if len(text) >= RUN else " OR "
    match = between.join('"' + run.replace('"', '""') + '"' for run in wanted)
    cursor.execute(
        # A cross join is read in the order it is written: the index first, each row after.
        "SELECT example.id FROM datasets_words CROSS JOIN datasets_example AS example "
        "WHERE example.id = datasets_words.rowid AND datasets_words MATCH %s "
        "AND example.dataset_id = %s LIMIT %s",
        [match, dataset.pk, MOST + 1],
    )
    return [key for (key,) in cursor.fetchall()]


def _runs_of(text: str) -> list[str]:
    runs = dict.fromkeys(text[at : at + RUN] for at in range(len(text) - RUN + 1))
    return list(runs)[:40]


def _beginning_with(cursor: Any, text: str) -> list[str] | None:
    """The runs in the index that begin with these one or two characters; None: too many."""
    found: set[str] = set()
    for start in {text, text.lower()}:  # most capitals are small in the index, not all
        cursor.execute(
            "SELECT term FROM datasets_words_list WHERE term >= %s AND term <= %s LIMIT %s",
            [start, start + chr(0x10FFFF), TERMS + 1],
        )
        found |= {term for (term,) in cursor.fetchall()}
    return None if len(found) > TERMS else sorted(found)


def _proposed_by_postgresql(cursor: Any, dataset: Dataset, text: str) -> list[int]:
    if len(text) >= RUN:
        said = "words ILIKE %s"
        what = "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    else:
        # As a tsquery writes a beginning: 'ab':*, with quotes and backslashes doubled.
        said = (
            "datasets_pairs(words) @@ (E'\\'\\x01\\' | \\'' || replace(replace(upper(%s), "
            "E'\\\\', E'\\\\\\\\'), E'\\'', E'\\'\\'') || E'\\':*')::tsquery"
        )
        what = text
    cursor.execute(
        f"SELECT example_id FROM datasets_words WHERE {said} AND dataset_id = %s LIMIT %s",
        [what, dataset.pk, MOST + 1],
    )
    return [key for (key,) in cursor.fetchall()]


@cache
def has_index(vendor: str) -> bool:
    return "datasets_words" in connection.introspection.table_names()


def create_index(**kwargs: Any) -> None:
    """Make the index where there is none, and have it kept. Runs after every migration."""
    has_index.cache_clear()
    if connection.vendor == "sqlite":
        _create_index(
            SQLITE,
            "SELECT count(*) = 2 FROM sqlite_master "
            "WHERE name IN ('datasets_words_insert', 'datasets_words_list')",
        )
    elif connection.vendor == "postgresql":
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        except DatabaseError:
            return  # the owner of the database has to allow it; search looks through the rows
        _create_index(POSTGRESQL, "SELECT to_regclass('datasets_words_pairs')")


def _create_index(statements: str, there: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        if "datasets_example" not in connection.introspection.table_names(cursor):
            return
        cursor.execute(there)
        found = cursor.fetchone()
        if found and found[0]:
            return
        for statement in statements.strip().split("\n\n"):
            cursor.execute(statement)


# Statements, with an empty line between them; each may find what an earlier release left. SQLite
# gets two line breaks behind each text, so that its last characters begin a run as well.
SQLITE = """
DROP TRIGGER IF EXISTS datasets_words_insert

DROP TRIGGER IF EXISTS datasets_words_delete

DROP TRIGGER IF EXISTS datasets_words_update

DROP TABLE IF EXISTS datasets_words_list

DROP TABLE IF EXISTS datasets_words

CREATE VIRTUAL TABLE datasets_words USING fts5(prompt, answer,
    content='', tokenize='trigram', detail='none')

CREATE VIRTUAL TABLE datasets_words_list USING fts5vocab(datasets_words, row)

INSERT INTO datasets_words(rowid, prompt, answer)
    SELECT id, prompt || char(10, 10), answer || char(10, 10) FROM datasets_example

CREATE TRIGGER datasets_words_insert AFTER INSERT ON datasets_example BEGIN
    INSERT INTO datasets_words(rowid, prompt, answer)
    VALUES (new.id, new.prompt || char(10, 10), new.answer || char(10, 10));
END

CREATE TRIGGER datasets_words_delete AFTER DELETE ON datasets_example BEGIN
    INSERT INTO datasets_words(datasets_words, rowid, prompt, answer)
    VALUES ('delete', old.id, old.prompt || char(10, 10), old.answer || char(10, 10));
END

CREATE TRIGGER datasets_words_update AFTER UPDATE OF prompt, answer ON datasets_example
WHEN old.prompt <> new.prompt OR old.answer <> new.answer BEGIN
    INSERT INTO datasets_words(datasets_words, rowid, prompt, answer)
    VALUES ('delete', old.id, old.prompt || char(10, 10), old.answer || char(10, 10));
    INSERT INTO datasets_words(rowid, prompt, answer)
    VALUES (new.id, new.prompt || char(10, 10), new.answer || char(10, 10));
END
"""

POSTGRESQL = """
CREATE OR REPLACE FUNCTION datasets_pairs(said text) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE letters text[];
BEGIN
    IF length(said) > 20000 THEN
        RETURN array_to_tsvector(ARRAY[chr(1)]);  -- it may say anything
    END IF;
    letters := string_to_array(upper(said), NULL);
    RETURN array_to_tsvector(
        ARRAY(SELECT concat(one, other) FROM unnest(letters, letters[2:]) AS pair(one, other)));
END $$

CREATE TABLE IF NOT EXISTS datasets_words (
    example_id bigint PRIMARY KEY, dataset_id bigint NOT NULL, words text NOT NULL)

INSERT INTO datasets_words
    SELECT id, dataset_id, prompt || E'\\n' || answer FROM datasets_example
    ON CONFLICT DO NOTHING

CREATE INDEX IF NOT EXISTS datasets_words_runs ON datasets_words USING gin (words gin_trgm_ops)

CREATE INDEX IF NOT EXISTS datasets_words_pairs ON datasets_words
    USING gin (datasets_pairs(words))

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

CREATE OR REPLACE TRIGGER datasets_words_rows AFTER INSERT OR DELETE OR UPDATE OF prompt, answer
    ON datasets_example FOR EACH ROW EXECUTE FUNCTION datasets_words_keep()

DROP TRIGGER IF EXISTS datasets_words_all ON datasets_example

CREATE TRIGGER datasets_words_all AFTER TRUNCATE ON datasets_example
    FOR EACH STATEMENT EXECUTE FUNCTION datasets_words_keep()
"""
