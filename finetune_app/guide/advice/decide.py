"""The decision: gates, then points, then what must be at hand."""

from dataclasses import dataclass
from enum import StrEnum

from finetune_app.guide.advice import rules
from finetune_app.guide.advice.answers import Answers
from finetune_app.guide.advice.kinds import Points, Rule
from finetune_app.guide.advice.rules import GATES, LAST, MATERIAL, NOTES, POINTS, have

ENOUGH = 2  # points from which a method is worth its effort


class Recommend(StrEnum):
    PROMPT = "prompt"
    RAG = "rag"
    FINE_TUNE = "fine_tune"
    RAG_THEN_FINE_TUNE = "rag_then_fine_tune"
    COLLECT_PAIRS = "collect_pairs"
    COLLECT_DOCUMENTS = "collect_documents"
    COLLECT_TESTS = "collect_tests"
    GOOD_ENOUGH = "good_enough"


TRAINS = (Recommend.FINE_TUNE, Recommend.RAG_THEN_FINE_TUNE)
SEARCHES = (Recommend.RAG, Recommend.RAG_THEN_FINE_TUNE)


@dataclass(frozen=True)
class Decision:
    what: Recommend
    way: Recommend  # the method it leads to: what `what` collects is collected for it
    rules: tuple[Rule, ...]  # that led to it, the deciding one first
    notes: tuple[Rule, ...]
    points: Points

    @property
    def trains(self) -> bool:
        return self.way in TRAINS

    @property
    def searches(self) -> bool:
        return self.way in SEARCHES


def decide(answers: Answers) -> Decision:
    counted = [rule for rule in POINTS if rule.when(answers)]
    points = sum((rule.effect for rule in counted), Points())
    gate = next((rule for rule in GATES if rule.when(answers)), None)
    if gate:
        what = Recommend(gate.effect.what)
        way = _behind(gate, points, answers)
        return Decision(what, way, (gate,), _notes(what, answers), points)
    way = _way(points, answers)
    led = tuple(rule for rule in counted if _speaks_for(rule.effect, way))
    missing = next(
        (rule for rule in MATERIAL if way in rule.effect.of and rule.when(answers)), None
    )
    if missing:
        what = Recommend(missing.effect.what)
        return Decision(what, way, (missing, *led), _notes(way, answers), points)
    return Decision(way, way, led or (LAST,), _notes(way, answers), points)


def _way(points: Points, answers: Answers) -> Recommend:
    search = points.rag >= ENOUGH and points.rag > points.prompt
    train = points.fine_tune >= ENOUGH and points.fine_tune > points.prompt
    if search:
        # With few examples the search goes first; the way of answering is asked for in words.
        both = train and have(answers.pairs) >= rules.SOME_PAIRS
        return Recommend.RAG_THEN_FINE_TUNE if both else Recommend.RAG
    if train and not points.never_alone:
        return Recommend.FINE_TUNE
    return Recommend.PROMPT


def _behind(gate: Rule, points: Points, answers: Answers) -> Recommend:
    """The method that a gate leads to in the end."""
    if gate.effect.what == "collect_documents":
        both = points.fine_tune >= ENOUGH and have(answers.pairs) >= rules.SOME_PAIRS
        return Recommend.RAG_THEN_FINE_TUNE if both else Recommend.RAG
    if gate.effect.what == "collect_tests" and points.fine_tune >= ENOUGH:
        return Recommend.FINE_TUNE
    return Recommend.PROMPT


def _speaks_for(points: Points, way: Recommend) -> bool:
    """Whether a rule's points are a reason for this way. What speaks against it comes later."""
    if way == Recommend.PROMPT:
        return points.prompt > 0
    search = points.rag > 0 and way != Recommend.FINE_TUNE
    train = points.fine_tune > 0 and way != Recommend.RAG
    return search or train


def _notes(way: Recommend, answers: Answers) -> tuple[Rule, ...]:
    """What to keep in mind, first what spoke against this way without outweighing it."""
    against = [rule for rule in POINTS if way in TRAINS and rule.effect.fine_tune < 0]
    notes = [rule for rule in NOTES if way in rule.effect.of]
    return tuple(rule for rule in against + notes if rule.when(answers))
