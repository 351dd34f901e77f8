"""A conversation with base and tuned at once: what was said, and what comes next."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

from finetune_app.candidates import services
from finetune_app.candidates.composing import compose
from finetune_app.candidates.models import Candidate
from finetune_app.core import engine
from finetune_app.core.files import local_folder
from finetune_app.training.models import Training

MOST_TURNS = 20
LONGEST = 8_000  # characters of one message
MAX_NEW_TOKENS = 400
LANES = ("base", "tuned")


@dataclass
class Turn:
    """One question and what each side answered; `said` is empty while they still write."""

    asked: str
    said: dict[str, str] = field(default_factory=dict)


class TalkError(Exception):
    """A sentence for the page."""


def read_history(text: str) -> list[Turn]:
    """The turns so far, from the page's hidden field. Anything odd is dropped, not trusted."""
    try:
        rows = json.loads(text or "[]")
    except (ValueError, RecursionError):
        return []
    turns = []
    for row in rows if isinstance(rows, list) else []:
        if not isinstance(row, dict) or not isinstance(row.get("asked"), str):
            continue
        turns.append(Turn(_plain(row["asked"]), {lane: _plain(row.get(lane)) for lane in LANES}))
    return turns[-MOST_TURNS:]


def _plain(text: object) -> str:
    """A text that can be sent; half a surrogate pair, which JSON can hold, cannot."""
    return str(text)[:LONGEST].encode(errors="replace").decode() if isinstance(text, str) else ""


def write_history(turns: list[Turn]) -> str:
    return json.dumps([{"asked": turn.asked, **turn.said} for turn in turns], ensure_ascii=False)


def check_question(text: str) -> str:
    """Raise TalkError for nothing or too much."""
    text = text.strip()
    if not text:
        raise TalkError(_("Type something first."))
    if len(text) > LONGEST:
        raise TalkError(_("That is longer than %(n)d characters. Ask something shorter.")
                        % {"n": LONGEST})
    return text


def sides(training: Training) -> dict[str, Candidate]:
    return {
        "base": services.base_candidate(goal=training.goal, base_model=training.base_model),
        "tuned": services.tuned_candidate(training=training),
    }


@dataclass(frozen=True)
class Asked:
    """All that the engine is asked; made before the answers are awaited, since awaiting code
    must not ask the database."""

    base_model: str
    number_format: str
    lanes: list[dict[str, Any]]


def ask(training: Training, turns: list[Turn], question: str) -> Asked:
    """What the engine is asked: each side sees its own answers so far."""
    return Asked(
        base_model=str(local_folder(training.base_model.folder)),
        number_format=number_format(training),
        lanes=[
            {
                "name": name,
                "adapter": services.for_engine(candidate)["adapter"],
                "messages": compose(
                    services.recipe_of(candidate), _heard_by(name, turns, question)
                ).messages,
            }
            for name, candidate in sides(training).items()
        ],
    )


def _heard_by(name: str, turns: list[Turn], question: str) -> list[dict[str, str]]:
    messages: list[dict[str, str]] = []
    for turn in turns:
        if turn.said.get(name):  # a side that said nothing was not asked: turns must alternate
            messages.append({"role": "user", "content": turn.asked})
            messages.append({"role": "assistant", "content": turn.said[name]})
    return [*messages, {"role": "user", "content": question}]


def number_format(training: Training) -> str:
    """The format it was tested in, so that what is shown here is what was measured."""
    tested = training.candidates.exclude(number_format="").order_by("-pk").first()
    return tested.number_format if tested else "auto"


def answers(asked: Asked) -> AsyncGenerator[engine.Event, None]:
    """The engine's events for these lanes."""
    return engine.stream_chat(
        asked.base_model, asked.lanes, number_format=asked.number_format,
        max_new_tokens=MAX_NEW_TOKENS,
    )


async def lines(asked: Asked) -> AsyncIterator[bytes]:
    """The events as JSON lines for the browser; a fault becomes a last line with "error"."""
    try:
        async with aclosing(answers(asked)) as events:  # closed with us: it cancels
            async for event in events:
                yield json.dumps(event, ensure_ascii=False).encode() + b"\n"
    except engine.EngineUnavailable as error:
        yield json.dumps({"error": str(error)}, ensure_ascii=False).encode() + b"\n"


async def whole(asked: Asked) -> dict[str, str]:
    """Both answers at once, for a browser without script. Raise TalkError when there are none."""
    said = dict.fromkeys(LANES, "")
    try:
        async with aclosing(answers(asked)) as events:
            async for event in events:
                if event.get("error"):
                    raise TalkError(event["error"])
                said[event["lane"]] += event.get("text", "")
    except engine.EngineUnavailable as error:
        raise TalkError(str(error)) from error
    return said
