"""Template contexts of the import pages: upload form, progress, columns with samples, outcome."""

import csv
import json
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, TypedDict

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.accounts.models import User
from finetune_app.core.charts import bar
from finetune_app.core.chat_messages import Message
from finetune_app.core.sizes import size
from finetune_app.core.templatetags.ui import about
from finetune_app.core.text_formats import safe_cell
from finetune_app.core.tool_calls import answer_text
from finetune_app.datasets.models import Edit, Import
from finetune_app.datasets.views.common import AnswerField, answer_pairs
from finetune_app.goals.models import Goal
from finetune_app.imports.cell_values import RowError
from finetune_app.imports.column_mapping import (
    TAKE_WITHOUT,
    changes_meaning,
    example_from_row,
    is_worse_answer,
)
from finetune_app.imports.forms import (
    ImportModeForm,
    MappingForm,
    ReadOptionsForm,
    UnreadKeysForm,
    UploadForm,
)
from finetune_app.imports.models import Upload
from finetune_app.imports.schemas import ChangeCounts, ColumnMapping, FileShape, KeyCount, SampleRow
from finetune_app.imports.unread_keys import name_of, unread
from finetune_app.jobs.models import Job
from finetune_app.jobs.presenters import place_facts

CSV_BLOCK = 1 << 18  # characters of the download that are sent at once
MAX_SAMPLES = 3
MAX_COLUMNS_SHOWN = 50
MAX_VALUE_CHARACTERS = 120
# Columns that do not change which rows can be used.
OPTIONAL_COLUMNS = {"split", "key", "group"}


# ---- Upload ----


class UploadContext(TypedDict):
    form: UploadForm
    unfinished: QuerySet[Upload]  # of this user
    problem: str


def upload_context(
    goal: Goal, user: User, *, form: UploadForm | None = None, problem: str = ""
) -> UploadContext:
    unfinished = Upload.objects.filter(dataset__goal=goal, by=user).order_by("at")
    return {"form": form or UploadForm(), "unfinished": unfinished, "problem": problem}


# ---- Progress ----


class ProgressContext(TypedDict):
    job: Job | None
    bar: str
    facts: list[str]
    headline: str


def progress_context(item: Import) -> ProgressContext:
    job = item.job
    headline = _("Looking at the file")
    if item.step != Import.Step.LOOKING:
        adding = job is not None and job.phase == "adding"
        headline = _("Adding the rows") if adding else _("Reading the rows")
    return {
        "job": job,
        "bar": bar(job.done, job.total) if job else "",
        "facts": place_facts(job) or _progress_facts(job) if job else [],
        "headline": headline,
    }


def _progress_facts(job: Job) -> list[str]:
    """Amount done, speed, time left. The amount is in bytes while a file is read."""
    if not job.done:
        return []
    if job.unit == "bytes":
        facts = [_("%(done)s of %(all)s") % {"done": size(job.done), "all": size(job.total)}]
    else:
        words = {"n": f"{int(job.done):,}", "all": f"{int(job.total):,}"}
        facts = [_("%(n)s of %(all)s rows") % words]
        seconds = (timezone.now() - job.running_at).total_seconds() if job.running_at else 0
        if seconds >= 1:
            facts.append(_("%(n)s a second") % {"n": f"{int(job.done / seconds):,}"})
    if job.seconds_left is not None:
        facts.append(_("%(time)s left") % {"time": about(job.seconds_left)})
    return facts


# ---- The columns ----


def confirm_context(
    item: Import,
    form: MappingForm | None = None,
    mapping: ColumnMapping | None = None,
    mode_form: ImportModeForm | None = None,
    keys_form: UnreadKeysForm | None = None,
) -> dict[str, Any]:
    """The columns with sample rows, by `mapping` as chosen so far."""
    shape, mapping = item.shape, mapping or item.mapping
    form = form or MappingForm(columns=shape["columns"], mapping=mapping)
    mode_form = mode_form or ImportModeForm(empty=not item.dataset.examples.kept().exists())
    missing = _missing_column(mapping)
    guess = shape.get("guess", item.mapping)
    changed = {name for name in form.fields if mapping.get(name, "") != guess.get(name, "")}
    is_inferred = changed <= OPTIONAL_COLUMNS
    first = shape["rows"]
    keys = unread(shape.get("keys", []), mapping)
    keys_form = keys_form or unread_keys_form(shape, mapping)
    decision = keys_form["unread"].value() if keys_form else ""
    sampled = mapping if decision else mapping | {"unread": TAKE_WITHOUT}
    return {
        "form": form,
        "mode_form": mode_form,
        "mode": mode_form["mode"].value() if "mode" in mode_form.fields else Import.Mode.APPEND,
        "mapping": mapping,
        "shape": shape,
        "shape_form": ReadOptionsForm(shape=shape),
        "samples": [] if missing else _sample_conversations(first, sampled),
        "keys_form": None if missing else keys_form,
        "meaning_keys": [
            {"text": _key_text(key), "is_worse": is_worse_answer(name_of(key))}
            for key in keys
            if changes_meaning(name_of(key))
        ],
        "other_keys": [_key_text(key) for key in keys if not changes_meaning(name_of(key))],
        "more_unreadable": shape["unreadable"] - len(shape.get("first_unreadable", [])),
        "columns": [
            {
                "name": name,
                "filled": shape["filled"].get(name, 0),
                "values": [_short(row["cells"].get(name)) for row in first[:2]],
            }
            for name in shape["columns"][:MAX_COLUMNS_SHOWN]
        ],
        "first_lines": [row["line"] for row in first[:2]],
        "complete": not missing,
        "is_inferred": is_inferred,
        "advanced_open": bool(changed & set(form.ADVANCED)),
        "remembered": bool(shape.get("remembered")),
        "usable": _usable_rows(shape, keys_form, decision) if is_inferred else None,
        "left_out": shape["row_count"] - shape["usable"] if is_inferred else shape["unreadable"],
        "suggested_column": _suggested_column(shape, mapping) if missing else "",
        "missing": missing,
    }


def needs_decision(shape: FileShape, mapping: ColumnMapping) -> bool:
    """Whether rows would mean something else without a key that this mapping does not read."""
    return any(changes_meaning(name_of(key)) for key in unread(shape.get("keys", []), mapping))


def unread_keys_form(shape: FileShape, mapping: ColumnMapping) -> UnreadKeysForm | None:
    """With the decision of this mapping, if it has one; None where there is nothing to decide."""
    decision = {"": UnreadKeysForm.LEAVE_OUT, TAKE_WITHOUT: TAKE_WITHOUT}.get(
        mapping.get("unread", "none")
    )
    found = UnreadKeysForm(initial={"unread": decision})
    return found if needs_decision(shape, mapping) else None


def _usable_rows(
    shape: FileShape, keys_form: UnreadKeysForm | None, decision: str | None
) -> int | None:
    """How many rows become examples; None while that is to be decided."""
    if keys_form and not decision:
        return None
    left_out = shape.get("undecided", 0) if decision == UnreadKeysForm.LEAVE_OUT else 0
    return shape["usable"] - left_out


def _key_text(key: KeyCount) -> str:
    """The key, its rows, and the lines of the first ones."""
    lines = ", ".join(f"{line:,}" for line in key["lines"])
    words = {
        "key": name_of(key)[:MAX_VALUE_CHARACTERS],
        "n": f"{key['rows']:,}",
        "lines": lines + (", …" if key["rows"] > len(key["lines"]) else ""),
    }
    text = ngettext(
        "“%(key)s” in %(n)s row (line %(lines)s)",
        "“%(key)s” in %(n)s rows (lines %(lines)s)",
        key["rows"],
    )
    return text % words


def _missing_column(mapping: ColumnMapping) -> str:
    """Which column is still to be chosen: "answer", "prompt", or "" for none."""
    if mapping["style"] == "messages":
        return ""
    if not mapping.get("answer") and not mapping.get("unanswered"):
        return "answer"
    return "" if mapping.get("prompt") else "prompt"


def _suggested_column(shape: FileShape, mapping: ColumnMapping) -> str:
    """The column with the most text among those that are not used yet."""
    used = set(mapping.values())
    unused = [name for name in shape["columns"] if name not in used]

    def count_characters(name: str) -> int:
        return sum(len(str(row["cells"].get(name) or "")) for row in shape["rows"])

    return max(unused, key=count_characters, default="")


class SampleConversation(TypedDict):
    line: int
    before: list[Message]
    thought: str
    answer: str
    pairs: list[AnswerField] | None
    rejected: str
    rejected_pairs: list[AnswerField] | None


class UnusableSample(TypedDict):
    line: int
    problem: str


def _sample_conversations(
    rows: list[SampleRow], mapping: ColumnMapping
) -> Sequence[SampleConversation | UnusableSample]:
    """Three rows as the model will learn them; if none can be used, three with their problems."""
    samples: list[SampleConversation] = []
    bad: list[UnusableSample] = []
    for row in rows:
        try:
            messages, rejected = example_from_row(row["cells"], mapping)
        except RowError as error:
            bad.append({"line": row["line"], "problem": str(error)})
            continue
        *before, answer = messages
        samples.append(
            {
                "line": row["line"],
                "before": before,
                "thought": answer.get("reasoning_content", ""),
                "answer": answer_text(answer),
                "pairs": answer_pairs(answer_text(answer)),
                "rejected": rejected,
                "rejected_pairs": answer_pairs(rejected),
            }
        )
    return samples[:MAX_SAMPLES] or bad[:MAX_SAMPLES]


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value) if value is not None else ""
    return text if len(text) <= MAX_VALUE_CHARACTERS else text[:MAX_VALUE_CHARACTERS] + "…"


# ---- The end ----


def read_options_form(item: Import) -> ReadOptionsForm | None:
    """None when the file is not text in any encoding, unless the zip has others."""
    is_binary = item.job is not None and item.job.error_code == "not_text"
    if is_binary and not item.shape.get("members"):
        return None
    return ReadOptionsForm(shape=item.shape)


class DoneContext(TypedDict):
    edit: Edit | None  # that can be undone
    done: ChangeCounts  # what happened; empty when the rows were appended
    counts: dict[str, int]  # see ExampleQuerySet.counts
    thoughts: list[str]


def done_context(item: Import) -> DoneContext:
    edit = Edit.objects.filter(source_import=item, undone_at=None, removes_rows=False).first()
    return {
        "edit": edit,
        "done": item.plan.get("done", item.plan),  # an older release kept the plan alone
        "counts": item.dataset.examples.kept().counts(),
        "thoughts": thought_sentences(item),
    }


def thought_sentences(item: Import) -> list[str]:
    """What the import found of thoughts before answers; empty for none."""
    found = []
    if item.thoughts:
        text = ngettext(
            "%(n)s row has a thought before its answer, which is kept beside it.",
            "%(n)s rows have a thought before their answer, which is kept beside it.",
            item.thoughts,
        )
        found.append(text % {"n": f"{item.thoughts:,}"})
    if item.worse_thoughts:
        text = ngettext(
            "%(n)s worse answer began with a thought, which was left out.",
            "%(n)s worse answers began with a thought, which was left out.",
            item.worse_thoughts,
        )
        found.append(text % {"n": f"{item.worse_thoughts:,}"})
    return found


def rejected_rows_csv(path: Path) -> Generator[bytes]:
    """The rows that an import left out, from its rejected.jsonl, as CSV in blocks."""
    lines = _Lines()
    writer = csv.writer(lines)
    writer.writerow([_("Line"), _("Why"), _("What it says")])
    yield "\ufeff".encode()
    with path.open(encoding="utf-8") as file:
        for row in map(json.loads, file):
            writer.writerow([str(row["line"]), safe_cell(row["reason"]), safe_cell(row["text"])])
            if lines.characters >= CSV_BLOCK:
                yield lines.take()
    yield lines.take()


class _Lines:
    """Collects the lines of a csv.writer until they are taken."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self.characters = 0

    def write(self, line: str) -> None:
        self._lines.append(line)
        self.characters += len(line)

    def take(self) -> bytes:
        text = "".join(self._lines)
        self._lines, self.characters = [], 0
        return text.encode()
