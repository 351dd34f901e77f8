"""What the wrong answers say about the instructions.

`hints` is a checklist made from the failures themselves, each with words that can be put in by a
click. `ask_for_better` lets a model that is good enough at it write new instructions; they are a
proposal, and nobody but the person takes it.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.candidates.composing import Message
from finetune_app.candidates.models import Candidate
from finetune_app.candidates.practice import Tried
from finetune_app.goals.measures import parse_fields
from finetune_app.goals.measures.answer_fields import parse_key_lines
from finetune_app.goals.measures.formatting import listed, strip_code_fence
from finetune_app.goals.measures.json_fields import NotJson, read_json

CAPABLE = 3_000_000_000  # parameters; below, a model cannot be trusted to write for itself
SHOWN = 8  # failures that a model is shown
LONGEST = 1_500  # characters of each
MOST_SORTS = 24  # different answers that still are "one of these"
TOKENS = 900

Holds = Callable[[str], bool]


@dataclass(frozen=True)
class Hint:
    """`insert` is put at the end of the instructions; `show` is an answer of which an example
    should be shown; `pick` asks for examples as such."""

    key: str
    text: str
    insert: str = ""
    show: str = ""
    pick: bool = False


def hints(tried: Sequence[Tried], wanted: Sequence[str], candidate: Candidate) -> list[Hint]:
    """What to mend first. `wanted`: right answers of training examples, to know the form from."""
    wrong = [one for one in tried if one.answer and one.answer.passed is False]
    if not wrong:
        return []
    known = [*wanted, *(one.practice.wanted for one in tried)]
    found = [
        _form(wrong, known),
        _values(wrong, known),
        _around(wrong),
        _length(wrong, known),
        _cut(wrong),
        _empty(wrong),
        _missed(tried, known, candidate),
        _same_reason(wrong),
        _no_shots(candidate),
    ]
    told = candidate.instructions.casefold()
    return [
        replace(hint, insert="") if hint.insert and hint.insert.casefold() in told else hint
        for hint in found
        if hint
    ]


# ---- One look at the failures each ----


def _form(wrong: Sequence[Tried], known: Sequence[str]) -> Hint | None:
    """The wanted answers have a form that the wrong ones have not."""
    form = form_of(known)
    if form is None:
        return None
    name, words, holds = form
    off = sum(not holds(_said(one)) for one in wrong)
    if not off:
        return None
    text = ngettext(
        "%(off)d of %(all)d wrong answer is not in the wanted form (%(form)s). Say the form, and "
        "show an example.",
        "%(off)d of %(all)d wrong answers are not in the wanted form (%(form)s). Say the form, "
        "and show an example.",
        len(wrong),
    ) % {"off": off, "all": len(wrong), "form": name}
    return Hint("form", text, insert=words)


def form_of(known: Sequence[str]) -> tuple[str, str, Holds] | None:
    """(its name, words that ask for it, whether an answer has it), from answers that are right."""
    known = [answer for answer in known if answer.strip()]
    if not known:
        return None
    if names := _json_names(known):
        words = _("Answer with JSON only, with the fields %(names)s, and no other words.")
        return "JSON", words % {"names": listed(names)}, _is_json
    if keys := _line_names(known):
        return _lines_form(keys)
    if all(answer.lstrip().startswith("<") for answer in known):
        words = _("Answer with the XML only, and no other words.")
        return "XML", words, lambda answer: strip_code_fence(answer).lstrip().startswith("<")
    sorts = Counter(answer.strip() for answer in known)
    if 1 < len(sorts) <= MOST_SORTS and len(sorts) * 2 <= len(known):
        words = _("Answer with exactly one of these, and nothing else: %(sorts)s.")
        return (
            _("one of %(n)d answers") % {"n": len(sorts)},
            words % {"sorts": ", ".join(sorted(sorts))},
            lambda answer: answer.strip() in sorts,
        )
    return None


def _lines_form(keys: list[str]) -> tuple[str, str, Holds]:
    lines = "\n".join(f"{key}: …" for key in keys)
    words = _("Answer in exactly these lines, and nothing else:\n%(lines)s") % {"lines": lines}
    name = _("lines %(names)s") % {"names": listed(keys)}
    return name, words, lambda answer: set(keys) <= {k for k, _v in parse_key_lines(answer) or []}


def _values(wrong: Sequence[Tried], known: Sequence[str]) -> Hint | None:
    """A field was given values that are never wanted in it: say which ones there are."""
    given: Counter[str] = Counter()
    odd: dict[str, str] = {}
    sorts = _sorts_of_fields(known)
    for one in wrong:
        for key, value in parse_fields(_said(one)) or []:
            if key in sorts and value not in sorts[key]:
                given[key] += 1
                odd.setdefault(key, value)
    if not given:
        return None
    key, count = given.most_common(1)[0]
    text = ngettext(
        "%(n)d wrong answer has a “%(key)s” that you never use, like “%(odd)s”.",
        "%(n)d wrong answers have a “%(key)s” that you never use, like “%(odd)s”.",
        count,
    ) % {"n": count, "key": key, "odd": _short(odd[key]) or "–"}
    words = [
        _("%(key)s is one of: %(sorts)s.") % {"key": key, "sorts": ", ".join(sorted(sorts[key]))}
        for key in sorts
        if key in given
    ]
    return Hint("values", text, insert="\n".join(words))


def _sorts_of_fields(known: Sequence[str]) -> dict[str, set[str]]:
    """The fields whose values come again and again, with all of them."""
    found: dict[str, list[str]] = {}
    for answer in known:
        for key, value in parse_fields(answer) or []:
            found.setdefault(key, []).append(value)
    return {
        key: set(values)
        for key, values in found.items()
        if len(set(values)) <= MOST_SORTS // 2 and len(set(values)) * 3 <= len(values)
    }


def _around(wrong: Sequence[Tried]) -> Hint | None:
    """The right answer is there, among other words."""
    count = sum(
        one.practice.wanted.strip().casefold() in _said(one).casefold()
        and len(_said(one)) > len(one.practice.wanted.strip())
        for one in wrong
        if one.practice.wanted.strip()
    )
    if not count:
        return None
    text = ngettext(
        "%(n)d wrong answer holds the right one among other words.",
        "%(n)d wrong answers hold the right one among other words.",
        count,
    ) % {"n": count}
    return Hint("around", text, insert=_("Give the answer alone: no greeting, no explanation."))


def _length(wrong: Sequence[Tried], known: Sequence[str]) -> Hint | None:
    longest = max((len(answer.split()) for answer in known), default=0)
    count = sum(len(_said(one).split()) > longest for one in wrong)
    if not count or not longest:
        return None
    values = {"n": count, "longest": longest}
    text = (
        ngettext(
            "%(n)d answer is longer than any you want (%(longest)d words at most).",
            "%(n)d answers are longer than any you want (%(longest)d words at most).",
            count,
        )
        % values
    )
    words = ngettext("Answer in one word.", "Answer in at most %(longest)d words.", longest)
    return Hint("length", text, insert=words % values)


def _cut(wrong: Sequence[Tried]) -> Hint | None:
    count = sum(bool(one.answer and one.answer.finish_reason == "length") for one in wrong)
    if not count:
        return None
    text = ngettext(
        "%(n)d answer did not end by itself. Small models ramble: an example shows them where to "
        "stop.",
        "%(n)d answers did not end by themselves. Small models ramble: an example shows them "
        "where to stop.",
        count,
    ) % {"n": count}
    return Hint("cut", text, insert=_("Stop as soon as the answer is complete."))


def _empty(wrong: Sequence[Tried]) -> Hint | None:
    count = sum(not _said(one) for one in wrong)
    if not count:
        return None
    text = ngettext("%(n)d answer is empty.", "%(n)d answers are empty.", count) % {"n": count}
    return Hint("empty", text, insert=_("Always answer, even when you are not sure."))


def _missed(tried: Sequence[Tried], known: Sequence[str], candidate: Candidate) -> Hint | None:
    """An answer that comes again is missed each time: an example of it helps more than words."""
    asked = [one for one in tried if one.answer]
    often = Counter(answer.strip() for answer in known)
    wanted = Counter(one.practice.wanted.strip() for one in asked)
    right = {one.practice.wanted.strip() for one in asked if one.answer and one.answer.passed}
    shown = {shot["answer"].strip() for shot in candidate.shots}
    for answer, count in wanted.most_common():
        known_well = often[answer] >= 3 and len(answer) <= 200
        if count >= 2 and known_well and answer not in right | shown:
            text = _(
                "“%(answer)s” was wanted %(n)d times and missed each time. Show an example of it."
            ) % {"answer": _short(answer), "n": count}
            return Hint("missed", text, show=answer)
    return None


def _same_reason(wrong: Sequence[Tried]) -> Hint | None:
    """The measure gives the same reason again and again: a field, a rule."""
    reasons = Counter(one.answer.why for one in wrong if one.answer and one.answer.why)
    reason, count = reasons.most_common(1)[0] if reasons else ("", 0)
    if count < 2 or reason in ("Not as wanted", "Empty answer", "Says more than wanted"):
        return None
    text = _("%(n)d of %(all)d for the same reason: %(reason)s. Say how to decide it.") % {
        "n": count,
        "all": len(wrong),
        "reason": reason,
    }
    found = re.fullmatch(r"“(.+)” is missing", reason)
    words = _("Always say “%(it)s”.") % {"it": found[1]} if found else ""
    return Hint("reason", text, insert=words)


def _no_shots(candidate: Candidate) -> Hint | None:
    if candidate.shots:
        return None
    return Hint(
        "shots", _("You show no examples yet. Three to five say more than a long rule."), pick=True
    )


# ---- A model writes ----


def ask_for_better(
    instructions: str, shots: Sequence[dict[str, str]], tried: Sequence[Tried]
) -> list[Message]:
    """The messages that ask a model for better instructions: those there are, and failures.

    The shots stay as they are, so it is told how many stand there, and not what they say.
    """
    wrong = [one for one in tried if one.answer and one.answer.passed is False][:SHOWN]
    failures = "\n\n".join(
        f"--- {number} ---\nPrompt:\n{_short(one.practice.prompt, LONGEST)}\n"
        f"Wanted answer:\n{_short(one.practice.wanted, LONGEST)}\n"
        f"Given answer:\n{_short(_said(one), LONGEST)}"
        for number, one in enumerate(wrong, start=1)
    )
    right = sum(bool(one.answer and one.answer.passed) for one in tried)
    return [
        {
            "role": "system",
            "content": (
                "You write instructions for a language model. You are shown the instructions it "
                "has now and answers it got wrong. Find what they have in common, then write "
                "better instructions: say what to do, the exact form of the answer, and how to "
                "decide the cases that went wrong. Write general rules; do not copy the prompts "
                "or their answers. Plain words, short sentences, at most 250 words. Answer with "
                "the new instructions alone, without a title or remarks."
            ),
        },
        {
            "role": "user",
            "content": (
                f"Instructions now:\n{instructions or '(none)'}\n\n"
                f"{len(shots)} example conversations follow them.\n\n"
                f"Right: {right} of {len(tried)}. Wrong:\n\n{failures}"
            ),
        },
    ]


def tidied(text: str) -> str:
    """The instructions out of what a model wrote: no fence, no title, no thinking aloud."""
    text = re.sub(r"<think>.*?(?:</think>|\Z)", "", text, flags=re.DOTALL).strip()
    text = strip_code_fence(text).strip()
    return re.sub(
        r"\A(?:#+ *|\*\*)?(?:new |better |improved )?instructions:?(?:\*\*)?:?\s*\n",
        "",
        text,
        flags=re.IGNORECASE,
    ).strip()


# ---- Small things ----


def _said(one: Tried) -> str:
    return one.answer.text.strip() if one.answer else ""


def _short(text: str, longest: int = 60) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _is_json(answer: str) -> bool:
    try:
        return isinstance(read_json(strip_code_fence(answer)), dict | list)
    except NotJson:
        return False


def _json_names(known: Sequence[str]) -> list[str]:
    """The fields that every answer has, in their order; nothing unless all are JSON."""
    names: list[str] | None = None
    for answer in known:
        if not answer.lstrip().startswith("{") or not _is_json(answer):
            return []
        found = list(read_json(strip_code_fence(answer)))
        names = found if names is None else [name for name in names if name in found]
    return names or []


def _line_names(known: Sequence[str]) -> list[str]:
    names: list[str] | None = None
    for answer in known:
        found = [key for key, _value in parse_fields(answer) or []]
        names = found if names is None else [name for name in names if name in found]
    return names or []
