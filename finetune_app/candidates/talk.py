"""A conversation with one or two candidates at once: what was said, and what comes next."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from asgiref.sync import sync_to_async
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _

from finetune_app.candidates import services
from finetune_app.candidates.composing import Message, Passage, Recipe, compose
from finetune_app.candidates.models import Candidate
from finetune_app.candidates.speakers import Voice
from finetune_app.core import engine_client
from finetune_app.core.connections import close_idle
from finetune_app.core.errors import PlainError
from finetune_app.providers import client as remote

MOST_TURNS = 20
LONGEST = 8_000  # characters of one message
MAX_NEW_TOKENS = 400
LANES = ("base", "tuned")


@dataclass
class Turn:
    """One question and what each side answered; `said` is empty while they still write.

    `cited`: the passages that a side was shown; `trouble`: why a side said nothing. Both only of
    the turn that was just asked.
    """

    asked: str
    said: dict[str, str] = field(default_factory=dict)
    cited: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    trouble: dict[str, str] = field(default_factory=dict)


class TalkError(Exception):
    """A sentence for the page."""


def read_history(text: str, lanes: Sequence[str] = LANES) -> list[Turn]:
    """The turns so far, from the page's hidden field. Anything odd is dropped, not trusted."""
    try:
        rows = json.loads(text or "[]")
    except (ValueError, RecursionError):
        return []
    turns = []
    for row in rows if isinstance(rows, list) else []:
        if not isinstance(row, dict) or not isinstance(row.get("asked"), str):
            continue
        turns.append(Turn(_plain(row["asked"]), {lane: _plain(row.get(lane)) for lane in lanes}))
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
        raise TalkError(
            _("That is longer than %(n)d characters. Ask something shorter.") % {"n": LONGEST}
        )
    return text


# ---- What is asked ----


@dataclass(frozen=True)
class Lane:
    """All that one side is asked. `searches`: where it looks things up before it answers."""

    name: str
    recipe: Recipe
    messages: list[Message]
    sampling: dict[str, Any]
    base_model: str = ""
    adapter: str | None = None
    number_format: str = ""
    searches: dict[str, Any] | None = None
    target: remote.Target | None = None


@dataclass(frozen=True)
class Asked:
    """Made before the answers are awaited, since awaiting code must not ask the database."""

    goal_id: int
    question: str
    lanes: list[Lane]


def ask(voices: Sequence[Voice], turns: list[Turn], question: str) -> Asked:
    """What is asked of each: each hears its own answers so far. Raise TalkError when one of them
    cannot be asked."""
    lanes, goal_id = [], 0
    for voice in voices:
        try:
            candidate = voice.speaker.make()
            lanes.append(_lane(voice.lane, candidate, _heard_by(voice.lane, turns, question)))
        except PlainError as problem:
            raise TalkError(problem.message) from problem
        goal_id = candidate.goal_id
    return Asked(goal_id, question, lanes)


def lane_of(candidate: Candidate) -> Lane:
    """How a candidate is asked; the messages are still to come. Raise PlainError when it cannot
    be asked any more."""
    return _lane("0", candidate, [])


def plain_lane(base_model: str) -> Lane:
    """A base model (an absolute folder) as it is, for whoever needs no goal."""
    return Lane("0", Recipe(), [], {}, base_model=base_model)


def _lane(name: str, candidate: Candidate, messages: list[Message]) -> Lane:
    given = services.for_engine(candidate)
    there = given["endpoint"]
    return Lane(
        name=name,
        recipe=services.recipe_of(candidate),
        messages=messages,
        sampling=candidate.sampling,
        base_model=given["base_model"] or "",
        adapter=given["adapter"],
        number_format=number_format(candidate),
        searches=given.get("knowledge"),
        target=remote.Target.from_json(there) if there else None,
    )


def _heard_by(name: str, turns: list[Turn], question: str) -> list[Message]:
    messages: list[Message] = []
    for turn in turns:
        if turn.said.get(name):  # a side that said nothing was not asked: turns must alternate
            messages.append({"role": "user", "content": turn.asked})
            messages.append({"role": "assistant", "content": turn.said[name]})
    return [*messages, {"role": "user", "content": question}]


def number_format(candidate: Candidate) -> str:
    """The format it was tested in, so that what is shown here is what was measured; "" if it
    was not."""
    if candidate.number_format or not candidate.training:
        return candidate.number_format
    tested = candidate.training.candidates.exclude(number_format="").order_by("-pk").first()
    return tested.number_format if tested else ""


# ---- What is answered ----


async def answers(asked: Asked) -> AsyncGenerator[engine_client.Event, None]:
    """The events of all lanes as they come: {"lane", "text"}, {"lane", "cited"}, and at each
    lane's end {"lane", "done"}, perhaps with "error" or "trouble". Closing it cancels them.

    Raise EngineUnavailable when nobody could answer.
    """
    await sync_to_async(close_idle)()
    news: asyncio.Queue[engine_client.Event | Exception | None] = asyncio.Queue()
    sources = [_elsewhere(lane, asked) for lane in asked.lanes if lane.target]
    here = sorted((lane for lane in asked.lanes if not lane.target), key=lambda x: x.base_model)
    for _folder, some in groupby(here, key=lambda lane: lane.base_model):
        sources.append(_here(list(some), asked))
    tasks = [asyncio.create_task(_pump(source, news)) for source in sources]
    try:
        running = len(tasks)
        while running:
            item = await news.get()
            if isinstance(item, Exception):
                raise item
            if item is None:
                running -= 1
            else:
                yield item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pump(
    source: AsyncGenerator[engine_client.Event, None],
    news: "asyncio.Queue[engine_client.Event | Exception | None]",
) -> None:
    try:
        async with aclosing(source) as events:  # closed with us: it cancels
            async for event in events:
                await news.put(event)
    except Exception as problem:
        await news.put(problem)
    else:
        await news.put(None)


async def _here(lanes: list[Lane], asked: Asked) -> AsyncGenerator[engine_client.Event, None]:
    """Lanes of one base model on this machine, in one batch."""
    given: list[engine_client.Lane] = []
    try:
        for lane in lanes:
            messages, cited = await _composed(lane, asked)
            if cited is not None:
                yield {"lane": lane.name, "cited": cited}
            given.append(
                {"name": lane.name, "adapter": lane.adapter, "messages": messages, **lane.sampling}
            )
        known = next((lane.number_format for lane in lanes if lane.number_format), "auto")
        async with aclosing(
            engine_client.stream_chat(
                lanes[0].base_model, given, number_format=known, max_new_tokens=MAX_NEW_TOKENS
            )
        ) as events:
            async for event in events:
                yield event
    except engine_client.EngineUnavailable as problem:
        if len(lanes) == len(asked.lanes):
            raise
        for lane in lanes:  # somebody else still answers
            yield {"lane": lane.name, "done": True, "trouble": str(problem)}


async def _elsewhere(lane: Lane, asked: Asked) -> AsyncGenerator[engine_client.Event, None]:
    assert lane.target is not None
    try:
        messages, cited = await _composed(lane, asked)
        if cited is not None:
            yield {"lane": lane.name, "cited": cited}
        async with aclosing(
            remote.stream(
                lane.target,
                messages,
                max_tokens=MAX_NEW_TOKENS * 3,  # some think in tokens
                temperature=lane.sampling.get("temperature", 0.0),
            )
        ) as events:
            async for event in events:
                yield {"lane": lane.name, **event}
    except (remote.RemoteError, engine_client.EngineUnavailable) as problem:
        yield {"lane": lane.name, "done": True, "trouble": str(problem)}


async def _composed(lane: Lane, asked: Asked) -> tuple[list[Message], list[dict[str, Any]] | None]:
    """What its model gets, and the passages in it as the page shows them; None: no search."""
    if lane.searches is None:
        return compose(lane.recipe, lane.messages).messages, None
    found = await engine_client.search(
        lane.searches["index"],
        asked.question,
        count=lane.searches["count"],
        whole=lane.searches["whole"],
    )
    composed = compose(lane.recipe, lane.messages, [Passage(**one) for one in found])
    cited = [
        {
            "name": one.name,
            "title": one.title,
            "page": one.page,
            "text": one.text[:400],
            "url": _document_url(asked.goal_id, one),
        }
        for one in composed.passages
    ]
    return composed.messages, cited


def _document_url(goal_id: int, passage: Passage) -> str:
    try:
        return f"{reverse('knowledge:document', args=[goal_id, passage.document])}?at={passage.at}"
    except NoReverseMatch:  # a deleted one, whose number an old index still names
        return ""


async def lines(asked: Asked) -> AsyncIterator[bytes]:
    """The events as JSON lines for the browser; a fault becomes a last line with "error"."""
    try:
        async with aclosing(answers(asked)) as events:
            async for event in events:
                yield json.dumps(event, ensure_ascii=False).encode() + b"\n"
    except engine_client.EngineUnavailable as error:
        yield json.dumps({"error": str(error)}, ensure_ascii=False).encode() + b"\n"


async def whole(asked: Asked) -> Turn:
    """All answers at once, for a browser without script. Raise TalkError when there are none."""
    turn = Turn(asked.question, {lane.name: "" for lane in asked.lanes})
    try:
        async with aclosing(answers(asked)) as events:
            async for event in events:
                if event.get("error"):
                    raise TalkError(event["error"])
                turn.said[event["lane"]] += event.get("text", "")
                if "cited" in event:
                    turn.cited[event["lane"]] = event["cited"]
                if "trouble" in event:
                    turn.trouble[event["lane"]] = event["trouble"]
    except engine_client.EngineUnavailable as error:
        raise TalkError(str(error)) from error
    return turn
