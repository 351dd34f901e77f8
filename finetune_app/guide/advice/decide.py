"""The decision: gates first, then points, then the requirements of the method."""

from dataclasses import dataclass
from enum import StrEnum

from finetune_app.datasets.enough_examples import PILOT_EXAMPLES
from finetune_app.guide.advice.answers import Answers
from finetune_app.guide.advice.rule_types import Points, Rule
from finetune_app.guide.advice.rules import FALLBACK, GATES, NOTES, POINTS, REQUIREMENTS
from finetune_app.guide.advice.rules.conditions import count_of

MIN_POINTS = 2  # points from which a method is worth its effort


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
    recommendation: Recommend
    method: Recommend  # that it leads to, once what is missing is collected
    rules: tuple[Rule, ...]  # that led to it, the deciding one first
    notes: tuple[Rule, ...]
    points: Points

    @property
    def trains(self) -> bool:
        return self.method in TRAINS

    @property
    def searches(self) -> bool:
        return self.method in SEARCHES


def decide(answers: Answers) -> Decision:
    counted = [rule for rule in POINTS if rule.when(answers)]
    points = sum((rule.effect for rule in counted), Points())
    gate = next((rule for rule in GATES if rule.when(answers)), None)
    if gate:
        recommendation = Recommend(gate.effect.recommendation)
        method = _method_after(gate, points, answers)
        return Decision(recommendation, method, (gate,), _notes(recommendation, answers), points)
    method = _method(points, answers)
    reasons = tuple(rule for rule in counted if _is_reason(rule.effect, method))
    missing = next(
        (rule for rule in REQUIREMENTS if method in rule.effect.methods and rule.when(answers)),
        None,
    )
    if missing:
        recommendation = Recommend(missing.effect.recommendation)
        rules = (missing, *reasons)
        return Decision(recommendation, method, rules, _notes(method, answers), points)
    return Decision(method, method, reasons or (FALLBACK,), _notes(method, answers), points)


def _method(points: Points, answers: Answers) -> Recommend:
    search = points.rag >= MIN_POINTS and points.rag > points.prompt
    train = points.fine_tune >= MIN_POINTS and points.fine_tune > points.prompt
    if search:
        # With few examples, search comes first; the way of answering is left to instructions.
        both = train and count_of(answers.pairs) >= PILOT_EXAMPLES
        return Recommend.RAG_THEN_FINE_TUNE if both else Recommend.RAG
    if train and not points.never_alone:
        return Recommend.FINE_TUNE
    return Recommend.PROMPT


def _method_after(gate: Rule, points: Points, answers: Answers) -> Recommend:
    """The method to use once what the gate asks for is there."""
    if gate.effect.recommendation == "collect_documents":
        both = points.fine_tune >= MIN_POINTS and count_of(answers.pairs) >= PILOT_EXAMPLES
        return Recommend.RAG_THEN_FINE_TUNE if both else Recommend.RAG
    if gate.effect.recommendation == "collect_tests" and points.fine_tune >= MIN_POINTS:
        return Recommend.FINE_TUNE
    return Recommend.PROMPT


def _is_reason(points: Points, method: Recommend) -> bool:
    """Whether a rule's points are a reason for this method; reasons against it are notes."""
    if method == Recommend.PROMPT:
        return points.prompt > 0
    search = points.rag > 0 and method != Recommend.FINE_TUNE
    train = points.fine_tune > 0 and method != Recommend.RAG
    return search or train


def _notes(method: Recommend, answers: Answers) -> tuple[Rule, ...]:
    """The notes on a method; first the points against it that were outweighed."""
    against = [rule for rule in POINTS if method in TRAINS and rule.effect.fine_tune < 0]
    notes = [rule for rule in NOTES if method in rule.effect.methods]
    return tuple(rule for rule in against + notes if rule.when(answers))
