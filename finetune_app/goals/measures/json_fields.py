"""The answer is valid JSON with the right fields."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from finetune_app.goals.measures.base import AS_WANTED, Measure, Score, Setting
from finetune_app.goals.measures.formatting import describe_names, join_with_and, strip_code_fence

MAX_DEPTH = 100


class NotJson(ValueError):
    """The text is not acceptable JSON; the message is a label for the page."""


class JsonFields(Measure):
    """Valid JSON whose fields are those of the wanted answer, in any order.

    With `fields`, only those are compared. `compare` says whether their values must match too.
    """

    kind = "json"
    settings_schema = {
        "fields": Setting("list", "Fields that must be there", []),
        "compare": Setting("choice", "What must match", "values", ("values", "fields")),
        "allow_fence": Setting("switch", "Accept a code block around the JSON", True),
    }

    def summary(self) -> str:
        names = join_with_and(self.settings["fields"]) or "the same fields as the wanted answer"
        values = " and the same values" if self.settings["compare"] == "values" else ""
        return f"Right when the answer is valid JSON with {names}{values}, in any order."

    def instruction(self) -> str:
        names = join_with_and(self.settings["fields"])
        fields = f", with the fields {names}" if names else ""
        return f"Answer with valid JSON alone{fields}: no explanation before or after it."

    def _check(self, answer: str, wanted: str) -> Score:
        try:
            got = read_json(strip_code_fence(answer) if self.settings["allow_fence"] else answer)
        except NotJson as problem:
            return Score(False, 0.0, str(problem))
        needs_wanted = self.settings["compare"] == "values" or not self.settings["fields"]
        try:
            target = read_json(strip_code_fence(wanted)) if needs_wanted else {}
        except NotJson:
            return Score(False, 0.0, "The wanted answer is not valid JSON")
        if isinstance(target, dict):
            if not isinstance(got, dict):
                return Score(False, 0.0, "Valid JSON, but without fields")
            return self._check_fields(got, target)
        same = json_equal(got, target) or (
            self.settings["compare"] == "fields" and type(got) is type(target)
        )
        return AS_WANTED if same else Score(False, 0.0, "Valid JSON, but not as wanted")

    def _check_fields(self, got: dict[str, Any], wanted: dict[str, Any]) -> Score:
        names = self.settings["fields"] or list(wanted)
        missing = [name for name in names if name not in got]
        # A field the wanted answer lacks has no value to match: being there is enough.
        differing = [
            name
            for name in names
            if self.settings["compare"] == "values"
            and name in got
            and name in wanted
            and not json_equal(got[name], wanted[name])
        ]
        extra = [] if self.settings["fields"] else [name for name in got if name not in wanted]
        wrong = len(missing) + len(differing) + len(extra)
        value = (len(names) - len(missing) - len(differing)) / max(len(names) + len(extra), 1)
        if missing:
            return Score(
                False, value, describe_names(missing, "is missing", "are missing", "field")
            )
        if differing:
            return Score(False, value, describe_names(differing, "differs", "differ", "field"))
        if wrong:
            return Score(
                False, value, describe_names(extra, "was not wanted", "were not wanted", "field")
            )
        return AS_WANTED


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
