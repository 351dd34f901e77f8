"""Infers the column mapping of a file, with the reason, for a person to confirm. Pure Python."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from finetune_app.imports.cell_values import RowError, cell_text, has_content
from finetune_app.imports.column_mapping import (
    KEEP_UNANSWERED,
    SPLIT_BY_WORD,
    Cells,
)
from finetune_app.imports.conversation_cells import (
    CONTENT_FIELDS,
    ROLE_FIELDS,
    conversation_in_cell,
    normalised_name,
)
from finetune_app.imports.schemas import ColumnMapping
from finetune_app.imports.thoughts import COLUMN_NAMES as THOUGHT_NAMES
from finetune_app.imports.thoughts import KEY as THOUGHT_KEY
from finetune_app.imports.thoughts import is_text
from finetune_app.imports.training_pairs import BETTER_ANSWER_NAMES, WORSE_ANSWER_NAMES
from finetune_app.imports.transcripts import transcript

CONVERSATION_NAMES = (
    "messages",
    "conversations",
    "conversation",
    "contents",
    "dialogue",
    "dialog",
    "chat",
)
PROMPT_NAMES = (
    "prompt",
    "question",
    "instruction",
    "input",
    "input_text",
    "query",
    "user",
    "request",
    "email",
    "mail",
    "message",
    "utterance",
    "text",
    "source",
    "nl",
    "description",
    "frage",
    "pregunta",
)
ANSWER_NAMES = (
    "answer",
    "response",
    "completion",
    "output",
    "output_text",
    "reply",
    "assistant",
    "target",
    "label",
    "command",
    "cmd",
    "bash",
    "code",
    "chosen",
    "preferred_output",
    "result",
    "summary",
    "intent",
    "antwort",
)
CONTEXT_NAMES = ("input", "context", "passage")
SYSTEM_NAMES = (
    "system",
    "system_prompt",
    "system prompt",
    "instructions",
    "systeminstruction",
    "system_instruction",
    "system instruction",
)
SPLIT_NAMES = ("split", "set", "subset", "partition", "fold", "used to", "used_to")
KEY_NAMES = ("id", "key", "uuid", "row_id", "example_id", "ticket", "ticket_id")
FLAGS = {"", "0", "1", "0.0", "1.0", "true", "false", "yes", "no", "y", "n", "x"}
GROUP_NAMES = ("group", "group_id", "thread", "thread_id", "conversation_id")


def infer_mapping(columns: Sequence[str], rows: Sequence[Cells]) -> ColumnMapping:
    """A mapping (column_mapping.py) with `why`, the reason in plain words.

    `answer` is empty when no column seems to hold answers. `unanswered` is "keep" when most rows
    have no answer, or there is only one text column.
    """
    worse = _worse_column(columns, rows)
    better = _named(columns, BETTER_ANSWER_NAMES) if worse else ""
    common = {
        "thought": _thought_column(columns, rows),
        "rejected": worse,
        "system": _named(columns, SYSTEM_NAMES),
        "split": _split_column(columns, rows),
        "key": _key_column(columns, rows),
        "group": _group_column(columns, rows),
    }
    chat = _chat_of_pair(better, rows) if better else _chat_column(columns, rows)
    also = f" “{worse}” has a worse answer to the same." if worse else ""
    if chat:
        keep = _mostly(not _answered(row.get(chat)) for row in rows)
        why = f"“{chat}” holds whole conversations."
        if keep:
            why += " Most of them wait for an answer, so they are imported for you to answer."
        found = {"style": "messages", "messages": chat, **common}
        found["unanswered"] = KEEP_UNANSWERED if keep else ""
        return found | {"why": why + _of_thought(found) + also}
    found, why = _infer_pair(columns, rows, common, better)
    return {**found, "why": why + _of_thought(found) + also}


def _of_thought(found: ColumnMapping) -> str:
    thought = found.get("thought")
    return f" “{thought}” has the thought before the answer." if thought else ""


def _infer_pair(
    columns: Sequence[str], rows: Sequence[Cells], common: ColumnMapping, better: str
) -> tuple[ColumnMapping, str]:
    """(mapping, reason) for a prompt column and an answer column: `better`, if that is one."""
    taken = {common[name] for name in ("system", "split", "group")}
    left = [
        c
        for c in columns
        if c not in taken
        and normalised_name(c) not in (*WORSE_ANSWER_NAMES, "history")
        and not _looks_like_id(c, rows)
    ]
    without = [c for c in left if c != common["thought"]]
    if len(without) < 2:  # it would be the only one that answers
        common = common | {"thought": ""}
    else:
        left = without
    answer = better or _named(left, ANSWER_NAMES)
    asking = (*PROMPT_NAMES, *CONVERSATION_NAMES) if better else PROMPT_NAMES
    prompt = _named([c for c in left if c != answer], asking)
    rest = [c for c in left if c not in (prompt, answer)]
    answer = answer or _named_by_word(rest, ANSWER_NAMES)
    prompt = prompt or _named_by_word([c for c in rest if c != answer], PROMPT_NAMES)
    why = f"By their names “{prompt}” asks and “{answer}” answers."
    keep = ""
    if len(left) == 1 and not answer:
        prompt, keep = left[0], KEEP_UNANSWERED
        why = f"“{prompt}” is the only text, so it asks; the answers are yours to write."
    elif not (prompt and answer):
        prompt, answer, why = _infer_by_position(left, prompt, answer)
    elif _mostly(not cell_text_or_empty(row.get(answer)).strip() for row in rows):
        keep = KEEP_UNANSWERED
        why += f" Most of “{answer}” is empty, so those rows are imported for you to answer."
    context = _context(left, prompt, answer)
    if context:
        why += f" Where “{context}” has text, it follows the “{prompt}”."
    found = {
        "style": "pairs",
        "prompt": prompt,
        "answer": answer,
        "context": context,
        **common,
        "unanswered": keep,
    }
    return found, why


def _infer_by_position(left: list[str], prompt: str, answer: str) -> tuple[str, str, str]:
    """(prompt, answer, reason) when the names of the columns `left` do not determine both."""
    if len(left) == 2:
        prompt = prompt or next(c for c in left if c != answer)
        answer = answer or next(c for c in left if c != prompt)
        return prompt, answer, "The file has two columns of text: usually the first one asks."
    if not answer:
        known = "Usually it is called “answer”, “response” or “completion”."
        return prompt, "", f"No column is called anything we know as the answer. {known}"
    return "", answer, "No column is called anything we know as what people ask."


def _context(left: list[str], prompt: str, answer: str) -> str:
    """In Alpaca's format "instruction" is the prompt, and "input" the text that it is about."""
    if normalised_name(prompt) not in ("instruction", "question", "prompt", "query"):
        return ""
    return _named([c for c in left if c not in (prompt, answer)], CONTEXT_NAMES)


def _named(columns: Sequence[str], names: Sequence[str]) -> str:
    """The column with one of the names, in their order."""
    by_name = {normalised_name(column): column for column in reversed(columns)}
    return next((by_name[name] for name in names if name in by_name), "")


def _named_by_word(columns: Sequence[str], names: Sequence[str]) -> str:
    """The same for one word of the name, as in "shop_reply" or "customer email"."""
    by_word = {
        word: column
        for column in reversed(columns)
        for word in re.split(r"[\W_]+", normalised_name(column))
    }
    return next((by_word[name] for name in names if name in by_word), "")


def is_known_name(name: str) -> bool:
    every = (
        *CONVERSATION_NAMES,
        *PROMPT_NAMES,
        *ANSWER_NAMES,
        *CONTEXT_NAMES,
        *SYSTEM_NAMES,
        *SPLIT_NAMES,
        *KEY_NAMES,
        *GROUP_NAMES,
        *BETTER_ANSWER_NAMES,
        *WORSE_ANSWER_NAMES,
        *THOUGHT_NAMES,
    )
    return normalised_name(name) in every


def _split_column(columns: Sequence[str], rows: Sequence[Cells]) -> str:
    """Empty unless every value is a known name of a split."""
    found = _named(columns, SPLIT_NAMES)
    values = {normalised_name(cell_text_or_empty(row.get(found))) for row in rows} - {""}
    return found if values and values <= SPLIT_BY_WORD.keys() else ""


def _key_column(columns: Sequence[str], rows: Sequence[Cells]) -> str:
    """Empty unless every row has a key of its own."""
    found = _named(columns, KEY_NAMES)
    values = [cell_text_or_empty(row.get(found)).strip() for row in rows] if found else []
    return found if values and all(values) and len(set(values)) == len(values) else ""


def _thought_column(columns: Sequence[str], rows: Sequence[Cells]) -> str:
    """Empty where it holds something else than sentences, such as “on” and “off”."""
    found = _named(columns, THOUGHT_NAMES)
    values = [row[found] for row in rows if has_content(row.get(found))]
    if not values or not all(map(is_text, values)):
        return ""
    sure = normalised_name(found) == THOUGHT_KEY
    return found if sure or _mostly(" " in value.strip() for value in values) else ""


def _group_column(columns: Sequence[str], rows: Sequence[Cells]) -> str:
    """Empty unless some rows share a value."""
    found = _named(columns, GROUP_NAMES)
    values = [cell_text_or_empty(row.get(found)).strip() for row in rows] if found else []
    return found if 0 < len(set(values)) < len(values) else ""


def _worse_column(columns: Sequence[str], rows: Sequence[Cells]) -> str:
    """Empty where it only says yes or no, and the answers say something else: then it tells which
    rows were rejected."""
    found = _named(columns, WORSE_ANSWER_NAMES)
    if not found or _named(columns, BETTER_ANSWER_NAMES) or not _are_flags(found, rows):
        return found
    answer = _named(columns, (*ANSWER_NAMES, *CONVERSATION_NAMES))
    return found if answer and _are_flags(answer, rows) else ""


def _are_flags(column: str, rows: Sequence[Cells]) -> bool:
    """Whether the cells, or the last messages of their conversations, only say yes or no."""
    return all(normalised_name(_last_text(row.get(column))) in FLAGS for row in rows)


def _last_text(value: Any) -> str:
    chat = conversation_in_cell(value)
    if chat and isinstance(chat[-1], Mapping):
        value = next((chat[-1][name] for name in CONTENT_FIELDS if name in chat[-1]), "")
    return cell_text_or_empty(value)


def _chat_of_pair(better: str, rows: Sequence[Cells]) -> str:
    """The column of better answers when it holds whole conversations, as in TRL's implicit prompts;
    else empty."""
    for row in rows[:20]:
        value = row.get(better)
        chat = conversation_in_cell(value) or transcript(value)
        if chat and _has_two_roles(chat) and _answered(chat):
            return better
    return ""


def _chat_column(columns: Sequence[str], rows: Sequence[Cells]) -> str:
    """The column of whole conversations, by its name or because one of them ends in an answer."""
    named = [c for c in columns if normalised_name(c) in CONVERSATION_NAMES]
    for column in [
        *named,
        *(c for c in columns if normalised_name(c) not in WORSE_ANSWER_NAMES),
    ]:
        chats = [
            chat for row in rows[:20] if (chat := conversation_in_cell(row.get(column))) is not None
        ]
        if any(column in named or (_has_two_roles(chat) and _answered(chat)) for chat in chats):
            return column
    return ""


def _has_two_roles(chat: list[Any]) -> bool:
    roles = {
        str(item.get(name))
        for item in chat
        if isinstance(item, Mapping)
        for name in ROLE_FIELDS
        if name in item
    }
    return len(roles - {"system", "developer"}) > 1


def _answered(value: Any) -> bool:
    """Whether the last message is not the user's. A malformed conversation counts as answered."""
    chat = conversation_in_cell(value)
    if not chat or not isinstance(chat[-1], Mapping):
        return True
    role = next((chat[-1][name] for name in ROLE_FIELDS if name in chat[-1]), "")
    return normalised_name(str(role)) not in ("user", "human")


def _mostly(flags: Iterable[bool]) -> bool:
    flags = list(flags)
    return sum(flags) * 2 > len(flags)


def _looks_like_id(column: str, rows: Sequence[Cells]) -> bool:
    if normalised_name(column) in ("id", "no", "no.", "nr", "number", "index", "row", "uuid", ""):
        return True
    if normalised_name(column) in PROMPT_NAMES + ANSWER_NAMES:
        return False  # numbers may be answers, as in arithmetic
    values = [cell_text_or_empty(row.get(column)) for row in rows[:20]]
    return (
        bool(values)
        and all(re.fullmatch(r"\d{1,12}", v) for v in values)
        and (len(set(values)) == len(values) > 2)
    )


def cell_text_or_empty(value: Any) -> str:
    try:
        return cell_text(value)
    except RowError:
        return ""
