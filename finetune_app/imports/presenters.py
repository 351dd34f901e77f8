"""What the pages of an import show: upload form, progress, columns with samples, outcome."""

import csv
import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.core.charts import bar
from finetune_app.core.templatetags.ui import about, size
from finetune_app.core.text_formats import safe_cell
from finetune_app.datasets.models import Edit, Import
from finetune_app.datasets.views.common import answer_pairs
from finetune_app.goals.models import Goal
from finetune_app.imports.column_mapping import RowError, messages_from_row
from finetune_app.imports.forms import ImportModeForm, MappingForm, ReadOptionsForm, UploadForm
from finetune_app.imports.models import Upload
from finetune_app.jobs.models import Job
from finetune_app.jobs.services import queue_place

CSV_BLOCK = 1 << 18  # characters of the download sent at once


# ---- Upload ----


def upload_context(
    goal: Goal, user: User, *, form: UploadForm | None = None, problem: str = ""
) -> dict[str, Any]:
    """The upload form, and the user's uploads that have not fully arrived."""
    unfinished = Upload.objects.filter(dataset__goal=goal, by=user).order_by("at")
    return {"form": form or UploadForm(), "unfinished": unfinished, "problem": problem}


# ---- Progress ----


def progress_context(item: Import) -> dict[str, Any]:
    job = item.job
    headline = _("Looking at the file")
    if item.step != Import.Step.LOOKING:
        adding = job is not None and job.phase == "adding"
        headline = _("Adding the rows") if adding else _("Reading the rows")
    return {
        "job": job,
        "bar": bar(job.done, job.total) if job else "",
        "facts": _progress_facts(job) if job else [],
        "place": queue_place(job) if job else 0,
        "headline": headline,
    }


def _progress_facts(job: Job) -> list[str]:
    """How far it is, how fast, how long still. Reading counts bytes, and says the rows itself."""
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
    mapping: dict[str, str] | None = None,
    how: ImportModeForm | None = None,
) -> dict[str, Any]:
    """The context of the page, with `mapping` as it was chosen so far."""
    shape, mapping = item.shape, mapping or item.mapping
    form = form or MappingForm(columns=shape["columns"], mapping=mapping)
    how = how or ImportModeForm(empty=not item.dataset.examples.kept().exists())
    missing = missing_of(mapping)
    guess = shape.get("guess", item.mapping)
    other = {name for name in form.fields if mapping.get(name, "") != guess.get(name, "")}
    guessed = other <= {"split", "key", "group"}  # these change nothing about what is usable
    first = shape["rows"]
    return {
        "form": form,
        "how": how,
        "mode": how["mode"].value() if "mode" in how.fields else Import.Mode.APPEND,
        "mapping": mapping,
        "shape": shape,
        "shape_form": ReadOptionsForm(shape=shape),
        "samples": [] if missing else _samples(first, mapping),
        "columns": [
            {
                "name": name,
                "filled": shape["filled"].get(name, 0),
                "values": [_short(row["cells"].get(name)) for row in first[:2]],
            }
            for name in shape["columns"][:50]
        ],
        "first_lines": [row["line"] for row in first[:2]],
        "complete": not missing,
        "guessed": guessed,
        "rare_open": bool(other & set(form.ADVANCED)),
        "remembered": bool(shape.get("remembered")),
        "usable": shape["usable"] if guessed else None,
        "left_out": shape["row_count"] - shape["usable"] if guessed else shape["unreadable"],
        "likely": _likely(shape, mapping) if missing else "",
        "missing": missing,
    }


def missing_of(mapping: dict[str, str]) -> str:
    """The part that still needs a column: answer, prompt or none."""
    if mapping["style"] == "messages":
        return ""
    if not mapping.get("answer") and not mapping.get("unanswered"):
        return "answer"
    return "" if mapping.get("prompt") else "prompt"


def _likely(shape: dict[str, Any], mapping: dict[str, str]) -> str:
    """The column with the most text among those that have no part yet."""
    taken = set(mapping.values())
    left = [name for name in shape["columns"] if name not in taken]

    def says(name: str) -> int:
        return sum(len(str(row["cells"].get(name) or "")) for row in shape["rows"])

    return max(left, key=says, default="")


def _samples(rows: list[dict[str, Any]], mapping: dict[str, str]) -> list[dict[str, Any]]:
    """Three rows as the model will learn them; rows that cannot be used are shown as such."""
    samples, bad = [], []
    for row in rows:
        try:
            messages = messages_from_row(row["cells"], mapping)
        except RowError as error:
            bad.append({"line": row["line"], "problem": str(error)})
            continue
        *before, answer = messages
        samples.append(
            {
                "line": row["line"],
                "before": before,
                "answer": answer["content"],
                "pairs": answer_pairs(answer["content"]),
            }
        )
    return (samples or bad)[:3]


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value) if value is not None else ""
    return text if len(text) <= 120 else text[:120] + "…"


# ---- The end ----


def read_options_form(item: Import) -> ReadOptionsForm | None:
    """None for what is no text in any encoding, unless another file of the zip may be."""
    hopeless = item.job is not None and item.job.error_code == "not_text"
    if hopeless and not item.shape.get("members"):
        return None
    return ReadOptionsForm(shape=item.shape)


def done_context(item: Import) -> dict[str, Any]:
    edit = Edit.objects.filter(source_import=item, undone_at=None, removes_rows=False).first()
    return {"edit": edit, "plan": item.plan, "counts": item.dataset.examples.kept().counts()}


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
