"""The answer is valid JSON with the right fields."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from finetune_app.goals.measures.base import (
    AS_WANTED,
    Measure,
    MeasureSettings,
    Score,
    Setting,
)
from finetune_app.goals.measures.field_scores import Field, FieldPair, Fields, partial_value
from finetune_app.goals.measures.formatting import describe_names, join_with_and, strip_code_fence

MAX_DEPTH = 100
PARTIAL_LABEL = "An answer that is partly right counts in part"
PARTIAL_SUMMARY = " One that is partly right gets points for each right field."


class NotJson(ValueError):
    """The text is not acceptable JSON; the message is a label for the page."""


class JsonFields(Measure):
    """Valid JSON whose fields are those of the wanted answer, in any order.

    With `fields`, only those are compared. `compare` says whether their values must match too. With
    `partial`, an answer is graded by F1 over its fields, nested ones by their path.
    """

    kind = "json"
    settings_schema = {
        "fields": Setting("list", "Fields that must be there", []),
        "compare": Setting("choice", "What must match", "values", ("values", "fields")),
        "partial": Setting("switch", PARTIAL_LABEL, False),
        "allow_fence": Setting("switch", "Accept a code block around the JSON", True),
    }

    def __init__(self, settings: MeasureSettings | None = None) -> None:
        super().__init__(settings)
        self.graded = self.settings["partial"]

    def summary(self) -> str:
        names = join_with_and(self.settings["fields"]) or "the same fields as the wanted answer"
        values = " and the same values" if self.settings["compare"] == "values" else ""
        partial = PARTIAL_SUMMARY if self.graded else ""
        return f"Right when the answer is valid JSON with {names}{values}, in any order.{partial}"

    def instruction(self) -> str:
        names = join_with_and(self.settings["fields"])
        fields = f", with the fields {names}" if names else ""
        return f"Answer with valid JSON alone{fields}: no explanation before or after it."

    def best_constant(self, answers: Sequence[str]) -> str:
        """The commonest value of each field, or an answer of the rows that does better."""
        typical = _commonest_object(answers)
        usual = super().best_constant(answers)
        return self._best_of([usual, typical], answers) if typical else usual

    def fields(self, answer: str, wanted: str) -> FieldPair | None:
        try:
            target = self._read_wanted(wanted)
        except NotJson:
            return None
        try:
            got = self._read(answer)
        except NotJson:
            got = {}
        pair = FieldPair(self._fields_of(got, target), self._fields_of(target, target))
        # A field the wanted answer lacks has no value to match: being there is enough.
        for name in self.settings["fields"] if isinstance(target, dict) else []:
            if name not in target:
                pair.wanted[Field(name, "", "")] = 1
                pair.got[Field(name, "", "")] = int(isinstance(got, dict) and name in got)
        return pair

    def _fields_of(self, value: Any, wanted: Any) -> Fields:
        """The fields that are compared; without their values where only names are."""
        if not isinstance(value, dict):
            return Counter(flatten(value)) if value else Counter()
        if names := self.settings["fields"]:
            value = {name: value[name] for name in names if name in value and name in wanted}
        if self.settings["compare"] == "fields":
            return Counter(Field(name, "", "") for name in value)
        return Counter(flatten(value)) if value else Counter()

    def _read(self, answer: str) -> Any:
        """Raises NotJson."""
        return read_json(strip_code_fence(answer) if self.settings["allow_fence"] else answer)

    def _read_wanted(self, wanted: str) -> Any:
        """Raises NotJson, unless only the names of chosen fields are compared."""
        if self.settings["compare"] == "fields" and self.settings["fields"]:
            return {}
        return read_json(strip_code_fence(wanted))

    def _check(self, answer: str, wanted: str) -> Score:
        try:
            got = self._read(answer)
        except NotJson as problem:
            return Score(False, 0.0, str(problem))
        try:
            target = self._read_wanted(wanted)
        except NotJson:
            return Score(False, 0.0, "The wanted answer is not valid JSON")
        if isinstance(target, dict):
            if not isinstance(got, dict):
                return Score(False, 0.0, "Valid JSON, but without fields")
            wrong = self._problem(got, target)
        else:
            same = json_equal(got, target) or (
                self.settings["compare"] == "fields" and type(got) is type(target)
            )
            wrong = "" if same else "Valid JSON, but not as wanted"
        if not wrong:
            return AS_WANTED
        pair = self.fields(answer, wanted)
        return Score(False, partial_value(pair) if pair else 0.0, wrong)

    def _problem(self, got: dict[str, Any], wanted: dict[str, Any]) -> str:
        """What is wrong with the fields, as a label; empty if nothing is."""
        names = self.settings["fields"] or list(wanted)
        missing = [name for name in names if name not in got]
        differing = [
            name
            for name in names
            if self.settings["compare"] == "values"
            and name in got
            and name in wanted
            and not json_equal(got[name], wanted[name])
        ]
        extra = [] if self.settings["fields"] else [name for name in got if name not in wanted]
        if missing:
            return describe_names(missing, "is missing", "are missing", "field")
        if differing:
            return describe_names(differing, "differs", "differ", "field")
        if extra:
            return describe_names(extra, "was not wanted", "were not wanted", "field")
        return ""


def flatten(value: Any, name: str = "", place: str = "") -> Iterator[Field]:
    """The fields of a JSON value, by path. Texts and numbers of a list may stand in any order;
    objects and lists in a list count by their place. The depth is limited by `read_json`."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from flatten(inner, f"{name}.{key}" if name else key, place)
    elif isinstance(value, list) and value:
        for at, inner in enumerate(value):
            nested = isinstance(inner, dict | list)
            yield from flatten(inner, name, f"{place}/{at if nested else '*'}")
    else:
        yield Field(name or "value", place, _canonical(value))


def _canonical(value: Any) -> str:
    """A value as text, the same for equal values: 1 and 1.0, but not true."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, ensure_ascii=False)


def _commonest_object(answers: Sequence[str]) -> str:
    """An object with the commonest value of each field that at least half of the answers have;
    "" where they are no objects."""
    values: dict[str, Counter[str]] = {}
    objects = 0
    for answer in answers:
        try:
            read = read_json(strip_code_fence(answer))
        except NotJson:
            continue
        if isinstance(read, dict):
            objects += 1
            for key, value in read.items():
                text = json.dumps(value, sort_keys=True, ensure_ascii=False)
                values.setdefault(key, Counter())[text] += 1
    parts = [
        f"{json.dumps(key, ensure_ascii=False)}: {found.most_common(1)[0][0]}"
        for key, found in values.items()
        if 2 * found.total() >= objects
    ]
    return "{" + ", ".join(parts) + "}" if objects else ""


def read_json(text: str) -> Any:
    """Parse strict JSON: no NaN or Infinity, no duplicate field, limited nesting.

    Raises:
        NotJson: with a label for the page.
    """
    if not text.strip():
        raise NotJson("Empty answer")
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        raise NotJson("JSON nested too deeply")
    try:
        return json.loads(
            text, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_no_duplicates
        )
    except NotJson:
        raise
    except (ValueError, RecursionError) as problem:
        raise NotJson("Not valid JSON") from problem


def json_equal(a: Any, b: Any) -> bool:
    """Compare two JSON values. 1 equals 1.0, but unlike in Python, true does not equal 1."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(json_equal(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(json_equal, a, b))
    return bool(a == b)


def _depth(text: str) -> int:
    """Return the nesting depth of brackets outside strings, without recursion."""
    depth = deepest = 0
    in_string = escaped = False
    for character in text:
        if in_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def _no_constant(name: str) -> NoReturn:
    raise NotJson(f"Not valid JSON: {name} is not a number")


def _finite(digits: str) -> float:
    read = float(digits)
    if not math.isfinite(read):
        raise NotJson("Not valid JSON: a number is too large")
    return read


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) < len(pairs):
        raise NotJson("Not clear JSON: a field appears twice")
    return read
