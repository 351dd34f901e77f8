"""Reads a fine-tuning job of OpenAI: the object that its API returns, or a file with it."""

import json
from dataclasses import dataclass, field
from typing import Any

from finetune_app.basemodels.automatic_settings import DPO, SUPERVISED
from finetune_app.core.errors import PlainError
from finetune_app.fine_tuning_api.job_request import (
    MAX_BATCH_SIZE,
    MAX_BETA,
    MAX_EPOCHS,
    MAX_RATE_MULTIPLIER,
)

MAX_BYTES = 1024 * 1024
MAX_TEXT = 200
NOT_A_JOB = (
    "That is not a fine-tuning job. Save what “client.fine_tuning.jobs.retrieve(ID)” returns, with "
    "“.to_json()”, as a file."
)
HIGHEST = {
    "n_epochs": MAX_EPOCHS,
    "batch_size": MAX_BATCH_SIZE,
    "learning_rate_multiplier": MAX_RATE_MULTIPLIER,
    "beta": MAX_BETA,
}
WHOLE = ("n_epochs", "batch_size")


@dataclass(frozen=True)
class JobDescription:
    """hyperparameters: numbers, without those that were "auto". notes: what is not taken over."""

    job_id: str = ""
    model: str = ""
    name: str = ""
    method: str = SUPERVISED
    hyperparameters: dict[str, float] = field(default_factory=dict)
    seed: int | None = None
    training_file: str = ""
    validation_file: str = ""
    notes: list[str] = field(default_factory=list)


def job_from_file(content: bytes) -> JobDescription:
    """Raises PlainError."""
    try:
        given = json.loads(content.decode("utf-8-sig")) if len(content) <= MAX_BYTES else None
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict) or not given.get("training_file"):
        raise PlainError(NOT_A_JOB, status=422)
    return job_from_object(given)


def job_from_object(given: dict[str, Any]) -> JobDescription:
    """Raises PlainError for a method that does not exist here."""
    method = given.get("method") if isinstance(given.get("method"), dict) else {}
    assert isinstance(method, dict)
    kind = method.get("type") or SUPERVISED
    if kind not in (SUPERVISED, DPO):
        raise PlainError(
            f"The job learned by “{_text(kind)}”, which does not exist here: nothing here learns "
            "from the rewards of a grader. Its file can be brought without the job.",
            status=422,
        )
    of_method = method.get(kind) if isinstance(method.get(kind), dict) else {}
    assert isinstance(of_method, dict)
    hyperparameters, notes = _hyperparameters(
        of_method.get("hyperparameters") or given.get("hyperparameters"), kind
    )
    if given.get("integrations"):
        notes.append("Its integrations are left out: metrics are sent to no other service.")
    seed = given.get("seed")
    return JobDescription(
        job_id=_text(given.get("id")),
        model=_text(given.get("model")),
        name=_name(given),
        method=kind,
        hyperparameters=hyperparameters,
        seed=seed if isinstance(seed, int) and 0 <= seed < 2**31 else None,
        training_file=_text(given.get("training_file")),
        validation_file=_text(given.get("validation_file")),
        notes=notes,
    )


def _hyperparameters(given: object, method: str) -> tuple[dict[str, float], list[str]]:
    found: dict[str, float] = {}
    notes = []
    for name, value in (given if isinstance(given, dict) else {}).items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if value in (None, "auto"):
            continue
        if not is_number or name not in HIGHEST or (name == "beta" and method != DPO):
            notes.append(f"“{_text(name)}” is left out: there is no such setting here.")
        elif not 0 < value <= HIGHEST[name] or (name in WHOLE and value != int(value)):
            notes.append(f"“{name}” of {value} is left out: it is at most {HIGHEST[name]} here.")
        else:
            found[name] = int(value) if name in WHOLE else value
    return found, notes


def _name(given: dict[str, Any]) -> str:
    """The suffix: in the request it has a field, in the job it is a part of the model's name,
    ft:MODEL:ORGANISATION:SUFFIX:ID."""
    parts = _text(given.get("fine_tuned_model")).split(":")
    return _text(given.get("user_provided_suffix")) or (parts[3] if len(parts) == 5 else "")


def _text(value: object) -> str:
    text = str(value or "")[:MAX_TEXT]
    return "".join(letter for letter in text if letter.isprintable())
