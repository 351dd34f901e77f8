"""A chat conversation with one or two candidates: its turns and its next question."""

import json
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from asgiref.sync import sync_to_async
from django.utils.translation import gettext as _

from finetune_app.candidates.inference import RequestBatch, request_for, stream_events
from finetune_app.candidates.selection import ChatColumn
from finetune_app.candidates.specs import Citation
from finetune_app.core import connections
from finetune_app.core.chat_messages import Message
from finetune_app.core.engine_client import EngineUnavailable
from finetune_app.core.errors import PlainError
from finetune_app.core.storable_text import storable

MAX_TURNS = 20
MAX_MESSAGE_CHARS = 8_000
DEFAULT_COLUMNS = ("base", "tuned")


@dataclass
class Turn:
    """One question and the answers to it, by the name of the chat column.

    `citations` (retrieved passages) and `errors` are known only of the turn just asked.
    """

    question: str
    answers: dict[str, str] = field(default_factory=dict)
    citations: dict[str, list[Citation]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


class ConversationError(Exception):
    """No answer can be given; the message is shown on the page."""


def read_history(text: str, columns: Sequence[str] = DEFAULT_COLUMNS) -> list[Turn]:
    """The last turns, from the hidden field of the page. Drops everything malformed."""
    try:
        rows = json.loads(text or "[]")
    except (ValueError, RecursionError):
        return []
    turns = []
    for row in rows if isinstance(rows, list) else []:
        if not isinstance(row, dict) or not isinstance(row.get("asked"), str):
            continue
        answers = {name: _clean_text(row.get(name)) for name in columns}
        turns.append(Turn(_clean_text(row["asked"]), answers))
    return turns[-MAX_TURNS:]


def _clean_text(text: object) -> str:
    return storable(text[:MAX_MESSAGE_CHARS]) if isinstance(text, str) else ""


def write_history(turns: list[Turn]) -> str:
    rows = [{"asked": turn.question, **turn.answers} for turn in turns]
    return json.dumps(rows, ensure_ascii=False)


def clean_question(text: str) -> str:
    """The question without surrounding space. Raises ConversationError if empty or too long."""
    text = text.strip()
    if not text:
        raise ConversationError(_("Type something first."))
    if len(text) > MAX_MESSAGE_CHARS:
        raise ConversationError(
            _("That is longer than %(n)d characters. Ask something shorter.")
            % {"n": MAX_MESSAGE_CHARS}
        )
    return text


def next_batch(columns: Sequence[ChatColumn], turns: list[Turn], question: str) -> RequestBatch:
    """The question for each column, after the turns that column has answered itself.

    Raises ConversationError when one of the candidates cannot be asked.
    """
    requests, goal_id = [], 0
    for column in columns:
        try:
            candidate = column.option.get_candidate()
            messages = _messages(column.name, turns, question)
            requests.append(request_for(candidate, name=column.name, messages=messages))
        except PlainError as problem:
            raise ConversationError(problem.message) from problem
        goal_id = candidate.goal_id
    return RequestBatch(goal_id, question, requests)


async def answer_turn(batch: RequestBatch) -> Turn:
    """All answers at once, for a browser without JavaScript. Raises ConversationError."""
    await sync_to_async(connections.give_back)()
    turn = Turn(batch.query, {request.name: "" for request in batch.requests})
    try:
        async with aclosing(stream_events(batch)) as events:
            async for event in events:
                name = event["candidate"]
                if event.get("error"):
                    raise ConversationError(event["error"])
                turn.answers[name] += event.get("text", "")
                if "cited" in event:
                    turn.citations[name] = event["cited"]
                if "trouble" in event:
                    turn.errors[name] = event["trouble"]
    except EngineUnavailable as error:
        raise ConversationError(str(error)) from error
    return turn


def _messages(column: str, turns: list[Turn], question: str) -> list[Message]:
    messages: list[Message] = []
    for turn in turns:
        if turn.answers.get(column):  # roles must alternate, so unanswered turns are left out
            messages.append({"role": "user", "content": turn.question})
            messages.append({"role": "assistant", "content": turn.answers[column]})
    return [*messages, {"role": "user", "content": question}]
