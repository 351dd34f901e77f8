"""The decision in words: reasons, what comes later, what would change it, confidence, sources."""

from dataclasses import dataclass
from typing import NotRequired, TypedDict

from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from finetune_app.datasets.enough_examples import ENOUGH_TESTS, PILOT_EXAMPLES
from finetune_app.guide.advice.answers import COUNTS, Answers
from finetune_app.guide.advice.decide import MIN_POINTS, Decision, Recommend, decide
from finetune_app.guide.advice.questions import QUESTIONS, Value, quoted
from finetune_app.guide.advice.rule_types import Rule
from finetune_app.guide.advice.rules import conditions
from finetune_app.guide.advice.sources import SOURCES

MAX_CHANGES = 4
# Order in which answers are varied to see what would change the advice; skipped ones first.
ORDER = (
    "tried_prompt",
    "pairs",
    "test_questions",
    "documents",
    "facts_change",
    "needs_sources",
    "heavy_use",
    "private_data",
    "improve",
)

WOULD_SAY = {
    Recommend.PROMPT: gettext_lazy("start with better instructions"),
    Recommend.RAG: gettext_lazy("let it search your documents"),
    Recommend.FINE_TUNE: gettext_lazy("fine-tune"),
    Recommend.RAG_THEN_FINE_TUNE: gettext_lazy("search your documents, then fine-tune"),
    Recommend.COLLECT_PAIRS: gettext_lazy("collect examples first"),
    Recommend.COLLECT_DOCUMENTS: gettext_lazy("gather your documents first"),
    Recommend.COLLECT_TESTS: format_lazy(
        gettext_lazy("write about {n} test questions first"), n=ENOUGH_TESTS
    ),
    Recommend.GOOD_ENOUGH: gettext_lazy("keep what you have"),
}


@dataclass(frozen=True)
class Quote:
    question: str  # its name
    words: str  # the answer in the person's own words


@dataclass(frozen=True)
class Reason:
    rule: str
    text: str
    quotes: tuple[Quote, ...] = ()

    def as_json(self) -> "ReasonJson":
        quotes = {quote.question: quote.words for quote in self.quotes}
        return {"rule": self.rule, "text": self.text, "you_said": quotes}


@dataclass(frozen=True)
class Later:
    """A method that is not the next step, and why."""

    method: str
    text: str


class ReasonJson(TypedDict):
    rule: str
    text: str
    you_said: dict[str, str]  # question -> the answer in words


class LaterJson(TypedDict):
    method: str
    text: str


class AdviceJson(TypedDict):
    """A Recommendation as JSON: the output of `manage.py advise`, and `Advice.result`."""

    recommendation: str
    reasons: list[ReasonJson]
    not_yet: list[LaterJson]
    would_change: list[str]
    confidence: str
    sources: list[str]
    way: NotRequired[str]  # the method; only in the database, as are the next two
    doubts: NotRequired[list[str]]
    notes: NotRequired[int]  # how many of the reasons, from the end, are notes


@dataclass(frozen=True)
class Recommendation:
    recommendation: Recommend
    method: Recommend  # that it leads to
    reasons: tuple[Reason, ...]
    keep_in_mind: tuple[Reason, ...]
    not_yet: tuple[Later, ...]
    would_change: tuple[str, ...]
    confidence: str  # high, medium, low
    doubts: tuple[str, ...]  # skipped questions whose answer could change the advice
    sources: tuple[str, ...]

    def as_json(self) -> AdviceJson:
        return {
            "recommendation": self.recommendation.value,
            "reasons": [one.as_json() for one in self.reasons + self.keep_in_mind],
            "not_yet": [{"method": one.method, "text": one.text} for one in self.not_yet],
            "would_change": list(self.would_change),
            "confidence": self.confidence,
            "sources": list(self.sources),
        }


def advise(answers: Answers) -> Recommendation:
    decision = decide(answers)
    doubts = tuple(name for name in ORDER if _is_open(name, answers, decision))
    used = decision.rules + decision.notes
    keys = dict.fromkeys(key for rule in used for key in rule.source)
    return Recommendation(
        recommendation=decision.recommendation,
        method=decision.method,
        reasons=tuple(_reason(rule, answers) for rule in decision.rules),
        keep_in_mind=tuple(_reason(rule, answers) for rule in decision.notes),
        not_yet=tuple(_not_yet(decision, answers)),
        would_change=tuple(_would_change(decision, answers, doubts)),
        confidence=_confidence(decision, answers, doubts),
        doubts=doubts,
        sources=tuple(SOURCES[key] for key in keys),
    )


def _reason(rule: Rule, answers: Answers) -> Reason:
    quotes = tuple(Quote(name, quoted(name, answers)) for name in rule.quoted(answers))
    return Reason(rule.name, rule.sentence(answers), quotes)


# ---- Not yet ----


def _not_yet(decision: Decision, answers: Answers) -> list[Later]:
    """Each method that is not the next step, with the strongest reason."""
    now = {
        Recommend.PROMPT: {"prompt"},
        Recommend.GOOD_ENOUGH: {"prompt"},
        Recommend.RAG: {"rag"},
        Recommend.FINE_TUNE: {"fine_tune"},
        Recommend.RAG_THEN_FINE_TUNE: {"rag"},
    }.get(decision.recommendation, set())
    texts = {
        "prompt": _prompt_not_alone,
        "rag": _search_later,
        "fine_tune": _training_later,
    }
    found = [
        Later(method, text(decision, answers))
        for method, text in texts.items()
        if method not in now
    ]
    return [later for later in found if later.text]


def _prompt_not_alone(decision: Decision, answers: Answers) -> str:
    if decision.method == Recommend.PROMPT:  # to collect test questions is part of it
        return ""
    if answers.tried_prompt == "inconsistent":
        return _("Not alone: you tried instructions, and they do not hold it steady.")
    if answers.tried_prompt == "good_enough":
        return _("Not alone: instructions do the job, but they are paid for with every question.")
    return _("Not alone: instructions cannot hold what it would have to look up.")


def _search_later(decision: Decision, answers: Answers) -> str:
    if decision.recommendation == Recommend.GOOD_ENOUGH:
        return _("Not needed: what you have does the job.")
    if decision.recommendation == Recommend.COLLECT_DOCUMENTS:
        return _("Not yet: first there has to be something to search.")
    if decision.searches:
        return _("Not yet: first write questions to test it with.")
    if decision.rules[0].name == "few_pages":
        return _("Not yet: a few pages fit into the instructions.")
    if decision.points.rag:
        return _("Not yet: instructions come first; what they lack will show what to search.")
    return _("Not needed so far: nothing you said has to be looked up.")


def _training_later(decision: Decision, answers: Answers) -> str:
    missing = conditions.pairs_missing(answers)
    if decision.recommendation == Recommend.GOOD_ENOUGH:
        return _("Not needed: training would cost effort without gain.")
    if decision.recommendation == Recommend.COLLECT_TESTS and decision.trains:
        return _("Not yet: first put questions aside to test it with.")
    if decision.method == Recommend.RAG_THEN_FINE_TUNE:
        return _("Second: first the search, then the way of answering is trained on top of it.")
    wanted = (
        decision.points.fine_tune >= MIN_POINTS
        or decision.recommendation == Recommend.COLLECT_PAIRS
    )
    if wanted and missing:
        return ngettext(
            "Not yet: training wants about %(pilot)s examples, %(n)s more than you have.",
            "Not yet: training wants about %(pilot)s examples, %(n)s more than you have.",
            missing,
        ) % {"n": missing, "pilot": PILOT_EXAMPLES}
    if conditions.lacks_facts(answers):
        return _("Not for facts: a model learns them badly, and keeps saying the old ones.")
    if decision.points.never_alone:
        return _("Not alone: what it would learn has to be looked up instead.")
    if decision.method == Recommend.PROMPT and decision.points.prompt:
        return _("Not yet: a good prompt may do, and training has to beat it.")
    return _("Not yet: nothing you said calls for changing the model itself.")


# ---- What would change it, and how sure ----


def _alternatives(name: str, answers: Answers) -> list[tuple[str, Recommend]]:
    """What each other answer to a question would lead to, with its "if" in words."""
    question, given = QUESTIONS[name], getattr(answers, name)
    return [
        (str(choice.condition), decide(answers.but(name, choice.value)).recommendation)
        for choice in question.choices
        if given is None or _can_come(name, given, choice.value)
    ]


def _can_come(name: str, given: Value, other: Value) -> bool:
    """Whether the answer can still change to this: counts only grow, a tried prompt stays tried."""
    if name in COUNTS:
        return int(other) > int(given)
    return other != given and not (name == "tried_prompt" and other == "no")


def _is_open(name: str, answers: Answers, decision: Decision) -> bool:
    """Skipped, and some answer to it would change the advice."""
    if getattr(answers, name) is not None:
        return False
    return any(what != decision.recommendation for _if, what in _alternatives(name, answers))


def _would_change(decision: Decision, answers: Answers, doubts: tuple[str, ...]) -> list[str]:
    found = []
    if decision.recommendation in (Recommend.FINE_TUNE, Recommend.RAG_THEN_FINE_TUNE):
        found.append(
            _(
                "If a good prompt alone does as well on your test questions, keep the "
                "prompt. It is measured beside the tuned model, so you will see."
            )
        )
    seen = {decision.recommendation}
    for name in (*doubts, *(name for name in ORDER if name not in doubts)):
        for if_, what in _alternatives(name, answers):
            if what not in seen and len(found) < MAX_CHANGES:
                seen.add(what)
                found.append(
                    _("%(if)s, we would say: %(then)s.") % {"if": if_, "then": WOULD_SAY[what]}
                )
    return found


def _confidence(decision: Decision, answers: Answers, doubts: tuple[str, ...]) -> str:
    """Low with many open questions or an unknown fault; high where nothing is marginal."""
    unknown = conditions.fault_unknown(answers) and decision.recommendation != Recommend.GOOD_ENOUGH
    if len(doubts) > 2 or unknown:
        return "low"
    thin = any(rule.name in ("pilot", "few_tests") for rule in decision.notes)
    close = decision.trains and decision.points.fine_tune == MIN_POINTS
    return "medium" if doubts or thin or close else "high"
