"""Hints for better instructions, derived from the wrong answers.

Each hint comes with a sentence or an example that one click adds to the draft.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.candidates.answer_format import field_labels, infer_format
from finetune_app.candidates.models import Candidate
from finetune_app.candidates.validation_prompts import PromptResult
from finetune_app.goals.measures import parse_fields


@dataclass(frozen=True)
class Hint:
    """A possible improvement. It offers one of three actions:

    insert: a sentence to append to the instructions.
    show: an answer; an example with it should be shown.
    pick: examples should be picked, as there are none.
    """

    key: str
    text: str
    insert: str = ""
    show: str = ""
    pick: bool = False


def find_hints(
    results: Sequence[PromptResult], wanted: Sequence[str], candidate: Candidate
) -> list[Hint]:
    """Hints, most important first. `wanted` are correct answers, to infer the format from."""
    wrong = [one for one in results if one.answer and one.answer.passed is False]
    if not wrong:
        return []
    known = [*wanted, *(one.prompt.wanted for one in results)]
    found = [
        _format_hint(wrong, known),
        _labels_hint(wrong, known),
        _extra_words_hint(wrong),
        _length_hint(wrong, known),
        _cut_off_hint(wrong),
        _empty_hint(wrong),
        _missed_answer_hint(results, known, candidate),
        _same_reason_hint(wrong),
        _no_examples_hint(candidate),
    ]
    instructions = candidate.instructions.casefold()
    return [
        replace(hint, insert="") if hint.insert and hint.insert.casefold() in instructions else hint
        for hint in found
        if hint
    ]


def _format_hint(wrong: Sequence[PromptResult], known: Sequence[str]) -> Hint | None:
    """The expected answers share a format that wrong answers do not have."""
    wanted = infer_format(known)
    if wanted is None:
        return None
    off = sum(not wanted.matches(_answer(one)) for one in wrong)
    if not off:
        return None
    text = ngettext(
        "%(off)d of %(all)d wrong answer is not in the wanted form (%(form)s). Say the form, and "
        "show an example.",
        "%(off)d of %(all)d wrong answers are not in the wanted form (%(form)s). Say the form, "
        "and show an example.",
        len(wrong),
    ) % {"off": off, "all": len(wrong), "form": wanted.name}
    return Hint("form", text, insert=wanted.instruction)


def _labels_hint(wrong: Sequence[PromptResult], known: Sequence[str]) -> Hint | None:
    """A field has values that no correct answer has: list the valid ones."""
    given: Counter[str] = Counter()
    example: dict[str, str] = {}
    labels = field_labels(known)
    for one in wrong:
        for key, value in parse_fields(_answer(one)) or []:
            if key in labels and value not in labels[key]:
                given[key] += 1
                example.setdefault(key, value)
    if not given:
        return None
    key, count = given.most_common(1)[0]
    text = ngettext(
        "%(n)d wrong answer has a “%(key)s” that you never use, like “%(odd)s”.",
        "%(n)d wrong answers have a “%(key)s” that you never use, like “%(odd)s”.",
        count,
    ) % {"n": count, "key": key, "odd": _short(example[key]) or "–"}
    words = [
        _("%(key)s is one of: %(sorts)s.") % {"key": key, "sorts": ", ".join(sorted(labels[key]))}
        for key in labels
        if key in given
    ]
    return Hint("values", text, insert="\n".join(words))


def _extra_words_hint(wrong: Sequence[PromptResult]) -> Hint | None:
    """A wrong answer contains the correct one."""
    count = sum(_holds(_answer(one), one.prompt.wanted.strip()) for one in wrong)
    if not count:
        return None
    text = ngettext(
        "%(n)d wrong answer holds the right one among other words.",
        "%(n)d wrong answers hold the right one among other words.",
        count,
    ) % {"n": count}
    return Hint("around", text, insert=_("Give the answer alone: no greeting, no explanation."))


def _holds(answer: str, wanted: str) -> bool:
    """Whether the words of the wanted one are in it, among others."""
    words = rf"(?<!\w){re.escape(wanted.casefold())}(?!\w)"
    return 0 < len(wanted) < len(answer) and bool(re.search(words, answer.casefold()))


def _length_hint(wrong: Sequence[PromptResult], known: Sequence[str]) -> Hint | None:
    longest = max((len(answer.split()) for answer in known), default=0)
    count = sum(len(_answer(one).split()) > longest for one in wrong)
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


def _cut_off_hint(wrong: Sequence[PromptResult]) -> Hint | None:
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


def _empty_hint(wrong: Sequence[PromptResult]) -> Hint | None:
    count = sum(not _answer(one) for one in wrong)
    if not count:
        return None
    text = ngettext("%(n)d answer is empty.", "%(n)d answers are empty.", count) % {"n": count}
    return Hint("empty", text, insert=_("Always answer, even when you are not sure."))


def _missed_answer_hint(
    results: Sequence[PromptResult], known: Sequence[str], candidate: Candidate
) -> Hint | None:
    """A frequent answer is never given: an example of it helps more than a rule."""
    asked = [one for one in results if one.answer]
    often = Counter(answer.strip() for answer in known)
    wanted = Counter(one.prompt.wanted.strip() for one in asked)
    right = {one.prompt.wanted.strip() for one in asked if one.answer and one.answer.passed}
    shown = {shot["answer"].strip() for shot in candidate.shots}
    for answer, count in wanted.most_common():
        known_well = often[answer] >= 3 and len(answer) <= 200
        if count >= 2 and known_well and answer not in right | shown:
            text = _(
                "“%(answer)s” was wanted %(n)d times and missed each time. Show an example of it."
            ) % {"answer": _short(answer), "n": count}
            return Hint("missed", text, show=answer)
    return None


def _same_reason_hint(wrong: Sequence[PromptResult]) -> Hint | None:
    """The measure gives one reason several times, such as a missing field."""
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


def _no_examples_hint(candidate: Candidate) -> Hint | None:
    if candidate.shots:
        return None
    return Hint(
        "shots", _("You show no examples yet. Three to five say more than a long rule."), pick=True
    )


def _answer(one: PromptResult) -> str:
    return one.answer.text.strip() if one.answer else ""


def _short(text: str, longest: int = 60) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
