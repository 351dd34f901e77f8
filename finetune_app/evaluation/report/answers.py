"""Every prompt of an evaluation with all answers to it: CSV, safe in a spreadsheet, or JSON lines.

Read and written in batches, so that memory does not grow with the number of prompts.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

from finetune_app.core.text_formats import safe_cell
from finetune_app.datasets.example_export import blocks
from finetune_app.evaluation.models import Answer, Comparison, Evaluation, TrivialAnswer
from finetune_app.evaluation.presenters import label_of
from finetune_app.evaluation.report import additions
from finetune_app.evaluation.report.additions import OtherOpinion

BATCH = 200  # prompts
ENCODINGS = {"csv": "utf-8-sig", "jsonl": "utf-8"}  # a spreadsheet knows UTF-8 by its mark


@dataclass(frozen=True)
class Column:
    """What answers, with a label that no other has. `key` of a candidate, or of a baseline."""

    label: str
    key: int | str
    description: dict[str, str]


@dataclass(frozen=True)
class AnsweredPrompt:
    """A test prompt and what was answered to it, by the key of a column."""

    comparison: Comparison
    answers: dict[int | str, Answer | TrivialAnswer]


def answer_pieces(evaluation: Evaluation, form: str) -> Generator[bytes]:
    """`form` is a key of ENCODINGS."""
    columns, others = _columns(evaluation), additions.opinions(evaluation)
    prompts = _prompts(evaluation)
    if form == "csv":
        texts = _csv_lines(evaluation, columns, others, prompts)
    else:
        texts = (_json_line(columns, others, prompt) for prompt in prompts)
    return blocks(texts, ENCODINGS[form])


def _columns(evaluation: Evaluation) -> list[Column]:
    """The candidates, from the base model to the most effort; then what needs no model."""
    columns = [
        Column(label_of(one), one.pk, {"kind": one.kind, "model": one.model_name})
        for one in evaluation.candidates()
    ]
    known = set(evaluation.trivial_answers.order_by().values_list("baseline", flat=True).distinct())
    columns += [
        Column(str(one.label), one.value, {"kind": "no model"})
        for one in TrivialAnswer.Baseline
        if one.value in known
    ]
    seen: Counter[str] = Counter()
    named = []
    for column in columns:
        seen[column.label] += 1
        again = f" {seen[column.label]}" if seen[column.label] > 1 else ""
        named.append(Column(column.label + again, column.key, column.description))
    return named


def _prompts(evaluation: Evaluation) -> Iterator[AnsweredPrompt]:
    last = -1
    while batch := list(evaluation.comparisons.filter(index__gt=last)[:BATCH]):
        last = batch[-1].index
        answers: dict[int, dict[int | str, Answer | TrivialAnswer]] = {
            row.index: {} for row in batch
        }
        within = {"index__gte": batch[0].index, "index__lte": last}
        for one in evaluation.answers.filter(**within):
            answers.setdefault(one.index, {})[one.candidate_id] = one
        for trivial in evaluation.trivial_answers.filter(**within):
            answers.setdefault(trivial.index, {})[trivial.baseline] = trivial
        for row in batch:
            yield AnsweredPrompt(row, answers[row.index])


def _csv_lines(
    evaluation: Evaluation,
    columns: list[Column],
    others: list[OtherOpinion],
    prompts: Iterator[AnsweredPrompt],
) -> Iterator[str]:
    measure = evaluation.get_measure()
    judged = [] if measure.needs_person else ["right", "score", "why"]
    if not measure.graded:
        judged = [name for name in judged if name != "score"]
    yield _csv_line(
        ["number", "prompt", "wanted", "result"]
        + [
            title
            for column in columns
            for title in (column.label, *(f"{column.label}: {name}" for name in judged))
        ]
        + [other.by for other in others]
    )
    for prompt in prompts:
        row = prompt.comparison
        cells = [str(row.index + 1), row.prompt, row.wanted, row.outcome]
        for column in columns:
            answer = _as_json(prompt.answers.get(column.key))
            cells += [_cell(answer.get(name)) for name in ("text", *judged)]
        cells += [other.outcomes.get(row.index, "") for other in others]
        yield _csv_line(cells)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4f}" if isinstance(value, float) else str(value or "")


def _csv_line(cells: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow([safe_cell(cell) for cell in cells])
    return text.getvalue()


def _json_line(columns: list[Column], others: list[OtherOpinion], prompt: AnsweredPrompt) -> str:
    row = prompt.comparison
    record: dict[str, Any] = {
        "number": row.index + 1,
        "prompt": row.prompt,
        "wanted": row.wanted,
        "result": row.outcome,
        "answers": [
            {"by": column.label} | column.description | _as_json(prompt.answers[column.key])
            for column in columns
            if column.key in prompt.answers
        ],
    }
    if others:
        record["opinions"] = [
            {"by": other.by, "result": other.outcomes.get(row.index)} for other in others
        ]
    return json.dumps(record, ensure_ascii=False) + "\n"


def _as_json(answer: Answer | TrivialAnswer | None) -> dict[str, Any]:
    """`right`, `score` and `why` are null where a person decided."""
    if answer is None:
        return {}
    values: dict[str, Any] = {
        "text": answer.text,
        "right": answer.passed,
        "score": answer.score,
        "why": answer.why,
    }
    if isinstance(answer, Answer):
        values |= {
            "too_long": answer.refused,
            "tokens": answer.tokens,
            "prompt_tokens": answer.prompt_tokens,
            "seconds": round(answer.seconds, 3),
        }
    return values
