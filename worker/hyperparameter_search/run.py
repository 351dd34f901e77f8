"""Runs the trials of a search, rung by rung; a trial goes on from its own checkpoint.

What each trial reached is written down at once, so that a search that is killed goes on after the
trials of the rung that are done. How far they go and which win:
finetune_app/hyperparameter_search/successive_halving.py.

    rows.jsonl    the rows to learn from and to practise on
    outcomes.json
    trials/3/     checkpoints of a trial
"""

import json
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetune_app.hyperparameter_search.protocol import SearchResult, TrialEvent
from finetune_app.hyperparameter_search.successive_halving import (
    RUNGS,
    Outcome,
    Rung,
    survivors,
    winner,
    work,
)
from finetune_app.hyperparameter_search.trials import AUTOMATIC
from worker.channel import Channel, Job, UserError
from worker.training import data
from worker.training.checkpoints import sync, write
from worker.training.curve import validate
from worker.training.killed_attempts import forget_attempt
from worker.training.loop import save_checkpoint, update
from worker.training.out_of_memory import is_out_of_memory, release
from worker.training.prepare import choose_number_format, prepare
from worker.training.rehearsal import rehearse
from worker.training.spec import TrainingSpec
from worker.training.state import Run, State
from worker.training.validation import Validation

OUTCOMES = "outcomes.json"


class QuietChannel(Channel):
    """A trial's events are not those of a training; its lease and its stop button are the job's."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def emit(self, event: str, **fields: Any) -> None:
        """Nothing."""

    def check(self) -> None:
        self._channel.check()

    def stopping(self) -> bool:
        return self._channel.stopping()


@dataclass
class Search:
    """A search and what its trials have reached so far."""

    folder: Path
    channel: Channel
    training: dict[str, Any]
    trials: list[dict[str, Any]]
    reached: list[TrialEvent] = field(default_factory=list)
    seconds: float = 0.0
    """Of earlier attempts."""
    done: float = 0.0
    """Work, in whole trainings."""

    def outcomes(self, rung: int) -> dict[int, Outcome]:
        """By the number of the trial."""
        return {
            one["trial"]: Outcome(one["score"], one["loss"], one["prompts"])
            for one in self.reached
            if one["rung"] == rung
        }

    def emit_progress(self, part: float = 0.0) -> None:
        total = 100 * work(len(self.trials))
        self.channel.emit("progress", done=100 * (self.done + part), total=total, unit="parts")


def run(job: Job, channel: Channel) -> SearchResult:
    """Find the best of the trials. Raises UserError for what a person can fix, and LeaseLost."""
    started = time.monotonic()
    search = Search(job.folder, channel, dict(job.spec["training"]), list(job.spec["trials"]))
    read_outcomes(search)
    earlier = search.seconds
    alive, before = list(range(len(search.trials))), 0.0
    for number, rung in enumerate(RUNGS):
        for trial in alive:
            if trial not in search.outcomes(number):
                found = run_trial(search, trial, number, rung, rung.share - before)
                if found is None:
                    return {"winner": None, "stopped": True}
                search.reached.append(found)
                search.seconds = earlier + time.monotonic() - started
                write_outcomes(search)
                channel.emit("trial", **found)
            search.done += rung.share - before
        before = rung.share
        if rung is not RUNGS[-1]:
            alive = survivors(search.outcomes(number), RUNGS[number + 1].trials)
            remove_others(search.folder / "trials", alive)
    remove_others(search.folder / "trials", [])
    return {
        "winner": winner(search.outcomes(len(RUNGS) - 1)),
        "stopped": False,
        "seconds": round(search.seconds, 1),
    }


def run_trial(
    search: Search, trial: int, number: int, rung: Rung, part: float
) -> TrialEvent | None:
    """Train to the end of the rung and measure; None if Stop was pressed. A trial that cannot run
    loses; where the automatic settings cannot, the search fails."""
    message = f"Trial {trial + 1} of {len(search.trials)}, round {number + 1} of {len(RUNGS)}"
    search.channel.emit("phase", phase="trial", message=message)
    search.emit_progress()
    folder = search.folder / "trials" / str(trial)
    try:
        return train_and_measure(search, trial, number, rung, part)
    except data.TokenizationStopped:
        return None
    except (UserError, RuntimeError, MemoryError) as error:
        if trial == AUTOMATIC or not is_of_its_settings(error):
            raise
        search.channel.emit("log", text=f"{message}, could not run: {error}")
        return outcome(trial, number, None, prompts=0)
    finally:
        forget_attempt(folder)
        release()  # the next trial loads the model again


def is_of_its_settings(error: Exception) -> bool:
    """Whether a trial with other settings may run: this one became unstable or had no room."""
    if isinstance(error, UserError):
        return error.code in ("bad_data", "out_of_memory")
    return is_out_of_memory(error)


def train_and_measure(
    search: Search, trial: int, number: int, rung: Rung, part: float
) -> TrialEvent | None:
    folder = search.folder / "trials" / str(trial)
    training, state = prepare(trial_spec(search, trial), folder, QuietChannel(search.channel))
    training = rehearse(training, state)
    if not train_until(search, training, state, rung.share, part):
        return None
    found = validate(training, state)
    prompts = min(training.spec.validation_prompts, len(training.validation_examples))
    return outcome(trial, number, found, prompts)


def outcome(trial: int, number: int, found: Validation | None, prompts: int) -> TrialEvent:
    """found: None of a trial that could not run."""
    return {
        "trial": trial,
        "rung": number,
        "step": found.step if found else 0,
        "score": found.score if found else None,
        "loss": found.loss if found else None,
        "general_ability": found.general_ability if found else None,
        "prompts": prompts,
    }


def train_until(search: Search, training: Run, state: State, share: float, part: float) -> bool:
    """All updates up to this share of the whole training, without a measurement, then a
    checkpoint. False if Stop was pressed before."""
    first, last = state.step, max(1, round(share * training.total_steps))
    while training.ranks.go_on(state.step < last and not training.channel.stopping()):
        training.channel.check()
        state.tokens += update(training, state).tokens
        state.step += 1
        search.emit_progress(part * (state.step - first) / max(1, last - first))
    save_checkpoint(training, state)
    return state.step >= last


def trial_spec(search: Search, trial: int) -> TrainingSpec:
    """The trials share one number format, or the faster one at that moment would take part. Each
    is a single process."""
    if search.training.get("number_format", "auto") == "auto":
        spec = TrainingSpec.from_json(search.training)
        search.training["number_format"] = choose_number_format(spec, search.channel)
        write_outcomes(search)
    alike = {"sample_prompts": 0, "processes": 1}
    return TrainingSpec.from_json(search.training | search.trials[trial] | alike)


def read_outcomes(search: Search) -> None:
    """What an earlier attempt reached; it is told again, because its last words may be lost."""
    try:
        stored = json.loads((search.folder / OUTCOMES).read_text("utf-8"))
    except (OSError, ValueError):
        return
    search.reached, search.seconds = stored["reached"], stored["seconds"]
    search.training["number_format"] = stored["number_format"]
    for one in search.reached:
        search.channel.emit("trial", **one)


def write_outcomes(search: Search) -> None:
    """Durably, all or nothing."""
    stored = {
        "reached": search.reached,
        "seconds": search.seconds,
        "number_format": search.training["number_format"],
    }
    draft = search.folder / f".{OUTCOMES}"
    draft.parent.mkdir(parents=True, exist_ok=True)
    write(draft, json.dumps(stored, indent=1).encode())
    draft.replace(search.folder / OUTCOMES)
    sync(search.folder)


def remove_others(folder: Path, trials: list[int]) -> None:
    for path in folder.glob("*"):
        if path.name not in {str(trial) for trial in trials}:
            shutil.rmtree(path, ignore_errors=True)
