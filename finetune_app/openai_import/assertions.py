"""Which measure checks what the tests of a Promptfoo configuration assert."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from finetune_app.goals.measures import MeasureError, MeasureSettings, get_measure
from finetune_app.goals.measures.json_fields import NotJson, read_json
from finetune_app.goals.models import MeasureKind

# Assertions that hold the wanted answer, and the measure that is nearest to each.
REFERENCES: dict[str, tuple[str, MeasureSettings]] = {
    "equals": (MeasureKind.EXACT, {}),
    "contains": (MeasureKind.EXACT, {"within": True}),
    "icontains": (MeasureKind.EXACT, {"within": True}),
    "similar": (MeasureKind.MEANING, {}),
    "rouge-n": (MeasureKind.ROUGE, {}),
    "levenshtein": (MeasureKind.CLOSE, {}),
    "bleu": (MeasureKind.CLOSE, {}),
    "gleu": (MeasureKind.CLOSE, {}),
    "meteor": (MeasureKind.CLOSE, {}),
    "factuality": (MeasureKind.CHOICE, {}),
    "model-graded-factuality": (MeasureKind.CHOICE, {}),
    "context-recall": (MeasureKind.CHOICE, {}),
}
JUDGED = ("llm-rubric", "g-eval", "model-graded-closedqa", "answer-relevance", "select-best")
JSON_ONLY = ("is-json", "contains-json")
PROGRAMS = ("javascript", "python", "ruby", "webhook")
COSTS = ("cost", "latency")
PATTERN = "regex"
DISTANCES = {"levenshtein"}  # their threshold is a number of edits, not a share
GRADED = (MeasureKind.MEANING, MeasureKind.ROUGE, MeasureKind.CLOSE)


@dataclass(frozen=True)
class Assertion:
    """value: its variables are filled in; objects are JSON."""

    kind: str
    value: str
    threshold: float | None = None
    weighted: bool = False


@dataclass(frozen=True)
class Asserted:
    """What a test asserts. default: what all tests do; named: a wanted answer by a variable."""

    own: Sequence[Assertion]
    default: Sequence[Assertion]
    named: str

    @property
    def every(self) -> list[Assertion]:
        return [*self.own, *self.default]

    @property
    def references(self) -> list[str]:
        """The kinds that hold a wanted answer of its own, else one of all tests."""
        return _references(self.own) or _references(self.default)

    def wanted(self, kinds: Collection[str]) -> str:
        """The first wanted answer of these kinds, its own before that of all tests; "" for none."""
        held = (one.value for one in self.every if one.kind in kinds and is_reference(one))
        return next(held, self.named)


def is_reference(assertion: Assertion) -> bool:
    return assertion.kind in REFERENCES and bool(assertion.value.strip())


def _references(assertions: Sequence[Assertion]) -> list[str]:
    return list(dict.fromkeys(one.kind for one in assertions if is_reference(one)))


@dataclass(frozen=True)
class ChosenMeasure:
    """checked: the kinds of assertions that it checks; notes: a sentence for each other one."""

    kind: str
    settings: MeasureSettings
    checked: set[str]
    notes: list[str] = field(default_factory=list)


def choose_measure(tests: Sequence[Asserted]) -> ChosenMeasure:
    """The measure that checks most of the tests."""
    counts = Counter(kind for test in tests for kind in dict.fromkeys(a.kind for a in test.every))
    chosen = _measure_for(tests, counts)
    notes = [
        _note(name, count, len(tests))
        for name, count in counts.items()
        if name not in chosen.checked
    ]
    if any(one.weighted for test in tests for one in test.every):
        notes.append("Weights are left out: here an answer is right or wrong, or has one grade.")
    return replace(chosen, notes=notes)


def _measure_for(tests: Sequence[Asserted], counts: Counter[str]) -> ChosenMeasure:
    every = [one for test in tests for one in test.every]
    references = Counter(kind for test in tests for kind in test.references)
    nearest = max(references, key=lambda name: references[name], default="")
    if nearest in ("", "equals") and _is_json(tests, counts):
        return ChosenMeasure(MeasureKind.JSON, {}, {*JSON_ONLY, "equals"})
    patterns = {one.value for one in every if one.kind == PATTERN}
    if not nearest and len(patterns) == 1 and counts[PATTERN] == len(tests):
        settings: MeasureSettings = {"pattern": patterns.pop(), "compare": "anything"}
        if _works(MeasureKind.PATTERN, settings):
            return ChosenMeasure(MeasureKind.PATTERN, settings, {PATTERN})
    if not nearest:
        return ChosenMeasure(MeasureKind.CHOICE, {}, {*JUDGED})
    kind, settings = REFERENCES[nearest]
    same = {name for name, measure in REFERENCES.items() if measure == (kind, settings)}
    thresholds = Counter(
        one.threshold for one in every if one.kind in same - DISTANCES and one.threshold
    )
    if kind in GRADED and thresholds:
        with_threshold = {"threshold": thresholds.most_common(1)[0][0]}
        settings = with_threshold if _works(kind, with_threshold) else settings
    checked = same | ({*JUDGED} if kind == MeasureKind.CHOICE else set())
    return ChosenMeasure(kind, settings, checked)


def _works(kind: str, settings: MeasureSettings) -> bool:
    try:
        get_measure(kind, settings)
    except MeasureError:
        return False
    return True


def _is_json(tests: Sequence[Asserted], counts: Counter[str]) -> bool:
    """Whether every wanted answer is JSON, and is meant as such."""
    try:
        values = [read_json(text) for test in tests if (text := test.wanted({"equals"}))]
    except NotJson:
        return False
    if any(name in counts for name in JSON_ONLY):
        return True
    return "equals" in counts and all(isinstance(value, dict) for value in values)


def _note(name: str, count: int, every: int) -> str:
    where = "every test" if count == every else f"{count:,} of {every:,} tests"
    if name in JUDGED:
        why = "a model judges it. Step 5 can ask a judge model for a second opinion"
    elif name in PROGRAMS:
        why = "nothing that a file brings is run"
    elif name in COSTS:
        why = "step 6 shows costs and waiting times"
    else:
        why = "the measure checks something else"
    return f"“{name}” in {where} is left out: {why}."
