"""Reads prompts from pasted text or a small file, in the request.

Files of examples are read by a job with a person who confirms their columns (imports). This is for
at most MAX_PROMPTS texts, so what is not plain is refused with a sentence that says what to do.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from finetune_app.core.text_formats import DELIMITERS
from finetune_app.imports.column_inference import PROMPT_NAMES
from finetune_app.imports.conversation_cells import normalised_name
from finetune_app.prompt_sheets.limits import MAX_PROMPT_CHARACTERS, MAX_PROMPTS

ACCEPT = ".txt,.csv,.tsv,.jsonl,.ndjson"


def read_file(name: str, content: bytes) -> list[str]:
    """The prompts of a file in UTF-8, by the ending of its name.

    Raises:
        ValidationError: it cannot be read, has no prompt, or too many or too long ones.
    """
    read = _READERS.get(name.rpartition(".")[2].lower())
    if read is None:
        raise ValidationError(_("Choose a .txt, .csv or .jsonl file."))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValidationError(
            _("This file is not text in UTF-8. Save it as UTF-8, and choose it again.")
        ) from error
    prompts = _checked(read(text))
    if not prompts:
        raise ValidationError(_("There is no prompt in this file."))
    return prompts


def read_lines(text: str) -> list[str]:
    """One prompt a line. Raises ValidationError where there are too many or too long ones."""
    return _checked(iter(text.splitlines()))


def _checked(texts: Iterator[str]) -> list[str]:
    """Without the empty ones."""
    prompts = [clean for text in texts if (clean := text.replace("\0", "").strip())]
    if len(prompts) > MAX_PROMPTS:
        raise ValidationError(
            _("These are %(n)s prompts; %(max)d at most. Leave some out.")
            % {"n": f"{len(prompts):,}", "max": MAX_PROMPTS}
        )
    for number, prompt in enumerate(prompts, start=1):
        if len(prompt) > MAX_PROMPT_CHARACTERS:
            raise ValidationError(
                _("Prompt %(n)d has %(length)s characters; %(max)s at most. Shorten it.")
                % {
                    "n": number,
                    "length": f"{len(prompt):,}",
                    "max": f"{MAX_PROMPT_CHARACTERS:,}",
                }
            )
        if not _is_storable(prompt):
            raise ValidationError(
                _("Prompt %(n)d holds half a character (a lone surrogate). Write it again.")
                % {"n": number}
            )
    return prompts


def _is_storable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _table(text: str) -> Iterator[str]:
    """The cells of the prompt column. A table of one column may have no heading."""
    first_line = text.lstrip().partition("\n")[0]
    delimiter = max((one for one, _label in DELIMITERS), key=first_line.count)
    try:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if any(row)]
    except csv.Error as error:
        raise ValidationError(
            _("This cannot be read as a table: %(error)s.") % {"error": error}
        ) from error
    if not rows:
        return
    columns = rows[0]
    column = _prompt_column(columns)
    if len(columns) == 1:  # a text that is not quoted may contain the delimiter
        for row in rows if column is None else rows[1:]:
            yield delimiter.join(row)
        return
    if column is None:
        raise ValidationError(
            _(
                "No column of this file is called “prompt” or “question”. Its first row has: "
                "%(columns)s. Rename the column that holds the prompts to “prompt”."
            )
            % {"columns": ", ".join(columns)[:200]}
        )
    for row in rows[1:]:
        yield row[column] if column < len(row) else ""


def _json_lines(text: str) -> Iterator[str]:
    for number, line in enumerate(text.split("\n"), start=1):  # texts may hold U+2028
        if not line.strip():
            continue
        try:
            prompt = _prompt_of(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise ValidationError(
                _("Line %(n)d is not JSON. Each line has to be one JSON value.") % {"n": number}
            ) from error
        if prompt is None:
            raise ValidationError(
                _(
                    "Line %(n)d has no prompt. It has to be a text, or an object with the text "
                    "under “prompt”; whole conversations are not read here."
                )
                % {"n": number}
            )
        yield prompt


def _prompt_of(value: Any) -> str | None:
    """Of one JSON value; None where it has no prompt."""
    if isinstance(value, dict):
        names = list(value)
        column = _prompt_column(names)
        value = None if column is None else value[names[column]]
    return value if isinstance(value, str) else None


def _prompt_column(columns: list[str]) -> int | None:
    """The place of the column that an import would take for the prompt, by its name."""
    names = [normalised_name(name) for name in columns]
    return next((names.index(name) for name in PROMPT_NAMES if name in names), None)


_READERS: dict[str, Callable[[str], Iterator[str]]] = {
    "txt": lambda text: iter(text.splitlines()),
    "csv": _table,
    "tsv": _table,
    "jsonl": _json_lines,
    "ndjson": _json_lines,
}
