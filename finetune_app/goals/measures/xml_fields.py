"""The answer is well-formed XML with the right elements."""

from __future__ import annotations

from collections import Counter
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from finetune_app.goals.measures.base import AS_WANTED, Measure, Score, Setting
from finetune_app.goals.measures.formatting import describe_names, join_with_and, strip_code_fence

MAX_DEPTH = 100


class NotXml(ValueError):
    """The text is not acceptable XML; the message is a label for the page."""


class XmlFields(Measure):
    """Well-formed XML with the elements of the wanted answer; siblings may stand in any order.

    With `fields`, only elements of those names are compared.
    """

    kind = "xml"
    settings_schema = {
        "fields": Setting("list", "Elements that must be there", []),
        "compare": Setting("choice", "What must match", "values", ("values", "fields")),
        "allow_fence": Setting("switch", "Accept a code block around the XML", True),
    }

    def summary(self) -> str:
        names = join_with_and(self.settings["fields"]) or "the same elements as the wanted answer"
        values = " and the same values" if self.settings["compare"] == "values" else ""
        return f"Right when the answer is well-formed XML with {names}{values}, in any order."

    def instruction(self) -> str:
        names = join_with_and(self.settings["fields"])
        fields = f", with the elements {names}" if names else ""
        return f"Answer with well-formed XML alone{fields}: no explanation before or after it."

    def _check(self, answer: str, wanted: str) -> Score:
        try:
            got = read_xml(strip_code_fence(answer) if self.settings["allow_fence"] else answer)
        except NotXml as problem:
            return Score(False, 0.0, str(problem))
        chosen = self.settings["fields"]
        if chosen and self.settings["compare"] == "fields":
            return _judge(Counter(set(chosen)), _tags(got), only=chosen)
        try:
            target = read_xml(strip_code_fence(wanted))
        except NotXml:
            return Score(False, 0.0, "The wanted answer is not valid XML")
        return self._compare(got, target)

    def _compare(self, got: Element, wanted: Element) -> Score:
        names = self.settings["fields"]
        by_name = _judge(_tags(wanted), _tags(got), only=names)
        if not by_name.passed or self.settings["compare"] == "fields":
            return by_name
        mine, theirs = _values(got), _values(wanted)
        differing = [
            tag for tag in theirs if (not names or tag in names) and mine.get(tag) != theirs[tag]
        ]
        if differing:
            right = 1 - len(differing) / max(len(names or theirs), 1)
            return Score(False, right, describe_names(differing, "differs", "differ", "element"))
        if not names and _shape(got) != _shape(wanted):
            return Score(False, 0.5, "Elements nested in another way")
        return AS_WANTED


def read_xml(text: str) -> Element:
    """Parse XML without entity or document type declarations. Raises NotXml with a label."""
    if not text.strip():
        raise NotXml("Empty answer")
    try:
        root: Element = fromstring(text.strip(), forbid_dtd=True)
    except DefusedXmlException as problem:
        raise NotXml("XML with declarations that we refuse") from problem
    except (ParseError, ValueError, LookupError) as problem:
        raise NotXml("Not valid XML") from problem
    level, depth = [root], 1
    while level:
        if depth > MAX_DEPTH:
            raise NotXml("XML nested too deeply")
        level, depth = [child for parent in level for child in parent], depth + 1
    return root


def _tags(root: Element) -> Counter[str]:
    return Counter(element.tag for element in root.iter())


def _values(root: Element) -> dict[str, Counter[tuple[str, ...]]]:
    """Return, for each element name, its texts with attributes, and how often each appears."""
    values: dict[str, Counter[tuple[str, ...]]] = {tag: Counter() for tag in _tags(root)}
    for element in root.iter():
        attributes = (f"{name}={value}" for name, value in sorted(element.attrib.items()))
        pieces = [element.text, *(child.tail for child in element)]
        text = " ".join(" ".join(piece or "" for piece in pieces).split())
        values[element.tag][(text, *attributes)] += 1
    return values


def _shape(root: Element) -> tuple[object, ...]:
    """The element with its children sorted, so that order does not matter. Depth is limited."""
    text = " ".join((root.text or "").split())
    children = sorted((_shape(child) for child in root), key=repr)
    return (root.tag, text, tuple(sorted(root.attrib.items())), tuple(children))


def _judge(wanted: Counter[str], got: Counter[str], only: list[str]) -> Score:
    """Compare which elements are present; `only` limits the comparison to some names."""
    names = only or list(wanted)
    missing = [name for name in names if got[name] < max(wanted[name], 1)]
    extra = [] if only else [name for name in got if got[name] > wanted[name]]
    value = (len(names) - len(missing)) / max(len(names) + len(extra), 1)
    if missing:
        return Score(False, value, describe_names(missing, "is missing", "are missing", "element"))
    if extra:
        return Score(
            False, value, describe_names(extra, "was not wanted", "were not wanted", "element")
        )
    return AS_WANTED
