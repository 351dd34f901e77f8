"""Which measure checks what the tests of a Promptfoo configuration assert."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

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
GRADED = (MeasureKind.MEANING, MeasureKind.ROUGE, MeasureKind.CLOSE)


@dataclass(frozen=True)
class Assertion:
    """value: its variables are filled in; objects are JSON."""

    kind: str
    value: str
    threshold: float | None = None
    weighted: bool = False


def is_reference(assertion: Assertion) -> bool:
    return assertion.kind in REFERENCES and bool(assertion.value.strip())


def choose_measure(
    asserted: Sequence[Sequence[Assertion]], wanted: Sequence[str]
) -> tuple[str, MeasureSettings, list[str]]:
    """The kind and settings of the measure that checks most of the tests, and a sentence for each
    kind of assertion that it does not check."""
    tests = Counter(kind for test in asserted for kind in {one.kind for one in test})
    kind, settings, checked = _measure_for(asserted, tests, wanted)
    notes = [
        _note(name, count, len(asserted)) for name, count in tests.items() if name not in checked
    ]
    if any(one.weighted for test in asserted for one in test):
        notes.append("Weights are left out: here an answer is right or wrong, or has one grade.")
    return kind, settings, notes


def _measure_for(
    asserted: Sequence[Sequence[Assertion]], tests: Counter[str], wanted: Sequence[str]
) -> tuple[str, MeasureSettings, set[str]]:
    """(kind, settings, names of the assertions that it checks)."""
    every = [one for test in asserted for one in test]
    patterns = {one.value for one in every if one.kind == PATTERN}
    if _is_json(tests, wanted):
        return MeasureKind.JSON, {}, {*JSON_ONLY, "equals"}
    references = {name: count for name, count in tests.items() if name in REFERENCES}
    if not references and len(patterns) == 1 and tests[PATTERN] == len(asserted):
        settings: MeasureSettings = {"pattern": patterns.pop(), "compare": "anything"}
        if _works(MeasureKind.PATTERN, settings):
            return MeasureKind.PATTERN, settings, {PATTERN}
    if not references:
        return MeasureKind.CHOICE, {}, {*JUDGED}
    kind, settings = REFERENCES[max(references, key=lambda name: references[name])]
    same = {name for name, measure in REFERENCES.items() if measure == (kind, settings)}
    thresholds = Counter(one.threshold for one in every if one.kind in same and one.threshold)
    if kind in GRADED and thresholds:
        with_threshold = {"threshold": thresholds.most_common(1)[0][0]}
        settings = with_threshold if _works(kind, with_threshold) else settings
    return kind, settings, same | ({*JUDGED} if kind == MeasureKind.CHOICE else set())


def _works(kind: str, settings: MeasureSettings) -> bool:
    try:
        get_measure(kind, settings)
    except MeasureError:
        return False
    return True


def _is_json(tests: Counter[str], wanted: Sequence[str]) -> bool:
    """Whether every wanted answer is JSON, and is meant as such."""
    try:
        values = [read_json(text) for text in wanted]
    except NotJson:
        return False
    if any(name in tests for name in JSON_ONLY):
        return True
    return "equals" in tests and all(isinstance(value, dict) for value in values)


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
