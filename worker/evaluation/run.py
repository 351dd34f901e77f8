"""An evaluation: all candidates answer all test prompts, then the general check.

Answers are reported as they come. A job that was stopped or killed is given the answers it
already has (`answered`) and goes on with the rest, in the number format it began with.
"""

from __future__ import annotations

import json
import queue
import time
from pathlib import Path
from typing import Any

from finetune_app.goals.measures import Measure, get_measure
from worker.channel import Channel, Job, UserError
from worker.engine.adapters import BadAdapter
from worker.engine.engine import Engine, Handle, Item
from worker.engine.model import BadModel
from worker.engine.requests import Completion, PromptTooLong
from worker.evaluation.contest import Contender, Question, read_contenders, read_questions
from worker.evaluation.general.check import check_general

TICK = 0.5  # seconds between looks at the lease and the stop button
Pair = tuple[Contender, Question]
News = queue.SimpleQueue[tuple[Pair, Item]]


def run(job: Job, channel: Channel) -> dict[str, Any]:
    """Do the whole evaluation; returns the result event. See the contract of Channel."""
    started, spec = time.monotonic(), job.spec
    questions = read_questions(Path(spec["version"]))
    contenders = read_contenders(spec["candidates"])
    measure = get_measure(spec["measure"]["kind"], spec["measure"].get("settings"))
    channel.emit("phase", phase="loading", message="Loading the model")
    with open_engine(job) as engine:
        pairs = _left_to_do(contenders, questions, spec.get("answered") or [])
        stopped = _answer(engine, pairs, len(contenders) * len(questions), job, measure, channel)
        if spec.get("general") and not stopped:
            stopped = check_general(
                engine,
                contenders,
                wanted=[question.wanted for question in questions],
                cache=job.folder.parent / "general-cache",
                channel=channel,
            )
        return {
            "prompts": len(questions),
            "candidates": len(contenders),
            "answers": len(pairs),
            "number_format": engine.number_format,
            "measured_ms": engine.loaded.measured,
            "seconds": round(time.monotonic() - started, 2),
            "stopped": stopped,
        }


def open_engine(job: Job) -> Engine:
    """Load the base model; a job that continues keeps the number format it began with."""
    chosen = job.folder / "number_format.json"
    number_format = job.spec.get("number_format", "auto")
    if chosen.exists():
        number_format = json.loads(chosen.read_text())
    try:
        engine = Engine(job.spec["base_model"], number_format)
    except (BadModel, OSError) as problem:
        raise UserError("bad_model", f"The base model could not be loaded. {problem}") from problem
    job.folder.mkdir(parents=True, exist_ok=True)
    chosen.write_text(json.dumps(engine.number_format))
    return engine


def _left_to_do(
    contenders: list[Contender], questions: list[Question], answered: list[list[int]]
) -> list[Pair]:
    """All pairs without an answer. One question's pairs stand together, so that candidates
    share a batch and an evaluation stopped half-way holds complete comparisons."""
    done = {(candidate, row) for candidate, row in answered}
    by_length = sorted(questions, key=lambda q: sum(len(m["content"]) for m in q.messages))
    return [(c, q) for q in by_length for c in contenders if (c.id, q.row) not in done]


def _answer(
    engine: Engine, pairs: list[Pair], total: int, job: Job, measure: Measure, channel: Channel
) -> bool:
    """Have every pair answered; returns whether the person stopped it."""
    channel.emit("phase", phase="answering", message="Answering your test prompts")
    news: News = queue.SimpleQueue()
    limit = int(job.spec.get("max_new_tokens", 256))
    handles = [_submit(engine, pair, limit, news) for pair in pairs]
    done = total - len(pairs)
    channel.emit("progress", done=done, total=total, unit="answers")
    while done < total:
        channel.check()
        if channel.stopping():
            for handle in handles:
                if handle:
                    handle.cancel()
            return True
        try:
            (contender, question), item = news.get(timeout=TICK)
        except queue.Empty:
            continue
        if isinstance(item, str):
            continue
        done += 1
        channel.emit("answer", **_judged(contender, question, item, measure))
        channel.emit("progress", done=done, total=total, unit="answers")
    return False


def _submit(engine: Engine, pair: Pair, limit: int, news: News) -> Handle | None:
    contender, question = pair
    try:
        request = contender.request(question.messages, limit)
        return engine.submit(request, lambda item: news.put((pair, item)))
    except (PromptTooLong, UserError) as problem:
        news.put((pair, problem))  # no answer for this one; the others go on
        return None


def _judged(
    contender: Contender, question: Question, item: Completion | Exception, measure: Measure
) -> dict[str, Any]:
    """The answer event. A candidate that could not answer this prompt failed it, and says why."""
    event: dict[str, Any] = {
        "candidate": contender.id,
        "row": question.row,
        "index": question.index,
    }
    if isinstance(item, PromptTooLong | UserError):
        empty = {"text": "", "tokens": 0, "seconds": 0.0, "finish_reason": "refused"}
        return event | empty | {"passed": False, "score": 0.0, "why": str(item)}
    if isinstance(item, BadAdapter):
        raise UserError("bad_model", str(item)) from item
    if isinstance(item, Exception):
        raise item
    event |= {
        "text": item.text,
        "tokens": item.tokens,
        "seconds": round(item.seconds, 3),
        "finish_reason": item.finish_reason,
    }
    if measure.needs_person:
        return event | {"passed": None, "score": None, "why": ""}
    score = measure.check(item.text, question.wanted)
    why = score.why
    if item.finish_reason == "length" and not score.passed:
        why = f"Cut off after {item.tokens:,} tokens. {why}"
    return event | {"passed": score.passed, "score": score.value, "why": why}
