"""Which column is what: guess it, explain it, turn a row into a conversation.

Pure Python, shared by the pages (the three samples) and by the child that reads the file.
A mapping is a dict with the names of columns:

    {"style": "pairs", "prompt": "question", "answer": "reply",
     "context": "", "system": "", "split": ""}
    {"style": "messages", "messages": "messages", "system": "", "split": ""}

A cell is text as it stood in the file, or (from JSON) a list or dict whose numbers are
`Number`, which keeps the digits as they were written.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

Message = dict[str, str]
Cells = Mapping[str, Any]

MESSAGES = ("messages", "conversations", "conversation", "contents", "dialogue", "dialog", "chat")
PROMPTS = (
    "prompt", "question", "instruction", "input", "query", "user", "request", "email", "mail",
    "message", "utterance", "text", "source", "nl", "description", "frage", "pregunta",
)
ANSWERS = (
    "answer", "response", "completion", "output", "reply", "assistant", "target", "label",
    "command", "cmd", "bash", "code", "chosen", "result", "summary", "intent", "antwort",
)
CONTEXTS = ("input", "context", "passage")
SYSTEMS = ("system", "system_prompt", "system prompt", "instructions")
SPLITS = ("split", "set", "subset", "partition", "fold", "used to", "used_to")

ROLES = {
    "system": "system", "developer": "system", "user": "user", "human": "user",
    "assistant": "assistant", "gpt": "assistant", "model": "assistant", "ai": "assistant",
}
SPLIT_WORDS = {
    "train": "train", "training": "train", "learn": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "practice": "validation", "eval": "validation",
    "test": "test", "testing": "test", "holdout": "test", "held-out": "test",
}
MOST_DEPTH = 40
MOST_MESSAGES = 1_000


class BadRow(ValueError):
    """This row cannot become an example. The message says why, in plain words."""


class Number(str):
    """A JSON number, kept exactly as it was written (1.10 stays 1.10)."""


# ---- Guessing ----


def guess(columns: Sequence[str], rows: Sequence[Cells]) -> dict[str, str]:
    """A mapping with a plain `why`. "answer" is empty when nothing looks like one."""
    split = _split_column(columns, rows)
    system = _named(columns, SYSTEMS)
    chat = _chat_column(columns, rows)
    if chat:
        why = f"“{chat}” holds whole conversations."
        return {"style": "messages", "messages": chat, "system": system, "split": split, "why": why}
    left = [c for c in columns if c not in (split, system) and not _looks_like_id(c, rows)]
    answer = _named(left, ANSWERS)
    prompt = _named([c for c in left if c != answer], PROMPTS)
    rest = [c for c in left if c not in (prompt, answer)]
    answer = answer or _named_in_part(rest, ANSWERS)
    prompt = prompt or _named_in_part([c for c in rest if c != answer], PROMPTS)
    why = f"By their names “{prompt}” asks and “{answer}” answers."
    if not (prompt and answer):
        prompt, answer, why = _by_place(left, prompt, answer)
    context = _context(left, prompt, answer)
    if context:
        why += f" Where “{context}” has text, it follows the “{prompt}”."
    return {
        "style": "pairs", "prompt": prompt, "answer": answer, "context": context,
        "system": system, "split": split, "why": why,
    }


def _by_place(left: list[str], prompt: str, answer: str) -> tuple[str, str, str]:
    """What two columns are when their names say nothing."""
    if len(left) == 2:
        prompt = prompt or next(c for c in left if c != answer)
        answer = answer or next(c for c in left if c != prompt)
        return prompt, answer, "The file has two columns of text: usually the first one asks."
    if not answer:
        known = "Usually it is called “answer”, “response” or “completion”."
        return prompt, "", f"No column is called anything we know as the answer. {known}"
    return "", answer, "No column is called anything we know as what people ask."


def _context(left: list[str], prompt: str, answer: str) -> str:
    """Alpaca's files ask in "instruction" and give the material in "input"."""
    if plain(prompt) not in ("instruction", "question", "prompt", "query"):
        return ""
    return _named([c for c in left if c not in (prompt, answer)], CONTEXTS)


def _named(columns: Sequence[str], names: Sequence[str]) -> str:
    """The column with one of the names, in their order."""
    by_name = {plain(column): column for column in reversed(columns)}
    return next((by_name[name] for name in names if name in by_name), "")


def _named_in_part(columns: Sequence[str], names: Sequence[str]) -> str:
    """The same for a word of the name: "shop_reply" answers, "customer email" asks."""
    by_word = {
        word: column
        for column in reversed(columns)
        for word in re.split(r"[\W_]+", plain(column))
    }
    return next((by_word[name] for name in names if name in by_word), "")


def plain(name: str) -> str:
    return " ".join(name.strip().strip('"').lower().split())


def known_name(name: str) -> bool:
    every = (*MESSAGES, *PROMPTS, *ANSWERS, *CONTEXTS, *SYSTEMS, *SPLITS, "id")
    return plain(name) in every


def _split_column(columns: Sequence[str], rows: Sequence[Cells]) -> str:
    """Only when its values are words we know."""
    found = _named(columns, SPLITS)
    values = {plain(str(row.get(found) or "")) for row in rows} - {""}
    return found if values and values <= SPLIT_WORDS.keys() else ""


def _chat_column(columns: Sequence[str], rows: Sequence[Cells]) -> str:
    for column in [*(c for c in columns if plain(c) in MESSAGES), *columns]:
        values = [row.get(column) for row in rows[:20]]
        if any(_as_list(value) is not None for value in values):
            return column
    return ""


def _looks_like_id(column: str, rows: Sequence[Cells]) -> bool:
    if plain(column) in ("id", "no", "no.", "nr", "number", "index", "row", "uuid", ""):
        return True
    if plain(column) in PROMPTS + ANSWERS:
        return False  # sums have numbers for answers
    values = [str(row.get(column) or "") for row in rows[:20]]
    return bool(values) and all(re.fullmatch(r"\d{1,12}", v) for v in values) and (
        len(set(values)) == len(values) > 2
    )


# ---- From a row to a conversation ----


def conversation(cells: Cells, mapping: Mapping[str, str]) -> list[Message]:
    """The row's messages, ending in the assistant's answer. Raises BadRow."""
    system = text_of(cells.get(mapping.get("system", "")))
    if mapping.get("style") == "messages":
        messages = _from_messages(cells.get(mapping["messages"]))
        if system.strip() and messages[0]["role"] != "system":
            messages.insert(0, {"role": "system", "content": system})
    else:
        messages = _from_pair(cells, mapping, system)
    return messages


def given_split(cells: Cells, mapping: Mapping[str, str]) -> str:
    """train, validation, test, or "" where the row does not say."""
    column = mapping.get("split", "")
    return SPLIT_WORDS.get(plain(text_of(cells.get(column))), "") if column else ""


def _from_pair(cells: Cells, mapping: Mapping[str, str], system: str) -> list[Message]:
    prompt = text_of(cells.get(mapping["prompt"]))
    context = text_of(cells.get(mapping.get("context", "")))
    answer = text_of(cells.get(mapping["answer"]))
    if context.strip():
        prompt = f"{prompt}\n\n{context}" if prompt.strip() else context
    if not prompt.strip() and not answer.strip():
        raise BadRow(f"“{mapping['prompt']}” and “{mapping['answer']}” are both empty.")
    if not prompt.strip():
        raise BadRow(f"“{mapping['prompt']}” is empty, so nothing is asked.")
    if not answer.strip():
        raise BadRow(f"“{mapping['answer']}” is empty, so there is nothing to learn.")
    start = [{"role": "system", "content": system}] if system.strip() else []
    return [
        *start,
        {"role": "user", "content": prompt},
        {"role": "assistant", "content": answer},
    ]


def _from_messages(value: Any) -> list[Message]:
    found = _as_list(value)
    if not found:
        raise BadRow("There is no conversation in this row.")
    if len(found) > MOST_MESSAGES:
        most = f"{MOST_MESSAGES:,}"
        raise BadRow(f"The conversation has {len(found):,} messages; the most is {most}.")
    messages = [_message(item, place) for place, item in enumerate(found, 1)]
    roles = [message["role"] for message in messages]
    if "assistant" not in roles:
        raise BadRow("The assistant says nothing here, so there is nothing to learn.")
    if roles[-1] != "assistant":
        raise BadRow("The conversation does not end in an answer.")
    if not messages[-1]["content"].strip():
        raise BadRow("The last answer is empty, so there is nothing to learn.")
    if "user" not in roles:
        raise BadRow("Nobody asks anything in this conversation.")
    return messages


def _message(item: Any, place: int) -> Message:
    if not isinstance(item, Mapping):
        raise BadRow(f"Message {place} has no speaker.")
    speaker = item.get("role", item.get("from", item.get("speaker")))
    content = item.get("content", item.get("value", item.get("text", item.get("parts"))))
    if not isinstance(speaker, str) or not speaker.strip():
        raise BadRow(f"Message {place} has no speaker.")
    role = ROLES.get(plain(speaker))
    if role is None:
        who = speaker.strip()[:40]
        raise BadRow(f"We don't know who “{who}” is in message {place}: you, or the assistant?")
    if content is None:
        raise BadRow(f"Message {place} has no text.")
    return {"role": role, "content": _parts(content)}


def _parts(content: Any) -> str:
    """Text, or a list of parts with text in them."""
    if isinstance(content, list) and content and all(isinstance(p, Mapping) for p in content):
        texts = [part.get("text") for part in content]
        if not all(isinstance(text, str) for text in texts):
            raise BadRow("A message holds something other than text, such as an image.")
        return "\n".join(texts)
    return text_of(content)


def _as_list(value: Any) -> list[Any] | None:
    """A conversation, also when a CSV cell holds it as JSON; None when it is none."""
    if isinstance(value, str) and not isinstance(value, Number) and value.lstrip()[:1] == "[":
        try:
            value = parse_json(value)
        except (ValueError, RecursionError):
            return None
    if not isinstance(value, list):
        return None
    speaks = any(isinstance(v, Mapping) and {"role", "from", "speaker"} & v.keys() for v in value)
    return value if speaks or not value else None


# ---- Text, exactly ----


def parse_json(text: str) -> Any:
    """json.loads that keeps every number, NaN included, as it was written."""
    return json.loads(text, parse_int=Number, parse_float=Number, parse_constant=Number)


def text_of(value: Any) -> str:
    """A cell as text: text as it is, null as nothing, the rest as JSON. Raises BadRow."""
    if value is None:
        return ""
    return str(value) if isinstance(value, str) else _json_of(value, 0)


def _json_of(value: Any, depth: int) -> str:
    if depth > MOST_DEPTH:
        raise BadRow(f"A value is nested more than {MOST_DEPTH} levels deep.")
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, Mapping):
        inner = (
            f"{json.dumps(str(k), ensure_ascii=False)}: {_json_of(v, depth + 1)}"
            for k, v in value.items()
        )
        return "{" + ", ".join(inner) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_json_of(v, depth + 1) for v in value) + "]"
    return json.dumps(value, ensure_ascii=False)
