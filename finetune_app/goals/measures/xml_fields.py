"""The answer is well-formed XML with the right elements."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from xml.etree.ElementTree import Element, ParseError, tostring

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from finetune_app.goals.measures.base import (
    AS_WANTED,
    Measure,
    MeasureSettings,
    Score,
    Setting,
)
from finetune_app.goals.measures.field_scores import Field, FieldPair, Fields, partial_value
from finetune_app.goals.measures.formatting import describe_names, join_with_and, strip_code_fence
from finetune_app.goals.measures.json_fields import PARTIAL_LABEL, PARTIAL_SUMMARY

MAX_DEPTH = 100


class NotXml(ValueError):
    """The text is not acceptable XML; the message is a label for the page."""


class XmlFields(Measure):
    """Well-formed XML with the elements of the wanted answer; siblings may stand in any order.

    With `fields`, only elements of those names are compared. With `partial`, an answer is graded by
    F1 over its elements and attributes, by their path.
    """

    kind = "xml"
    settings_schema = {
        "fields": Setting("list", "Elements that must be there", []),
        "compare": Setting("choice", "What must match", "values", ("values", "fields")),
        "partial": Setting("switch", PARTIAL_LABEL, False),
        "allow_fence": Setting("switch", "Accept a code block around the XML", True),
    }

    def __init__(self, settings: MeasureSettings | None = None) -> None:
        super().__init__(settings)
        self.graded = self.settings["partial"]

    def summary(self) -> str:
        names = join_with_and(self.settings["fields"]) or "the same elements as the wanted answer"
        values = " and the same values" if self.settings["compare"] == "values" else ""
        partial = PARTIAL_SUMMARY if self.graded else ""
        return (
            f"Right when the answer is well-formed XML with {names}{values}, in any order.{partial}"
        )

    def instruction(self) -> str:
        names = join_with_and(self.settings["fields"])
        fields = f", with the elements {names}" if names else ""
        return f"Answer with well-formed XML alone{fields}: no explanation before or after it."

    def best_constant(self, answers: Sequence[str]) -> str:
        """The commonest content of each element, or an answer of the rows that does better."""
        typical = _commonest_document(answers)
        usual = super().best_constant(answers)
        return self._best_of([usual, typical], answers) if typical else usual

    def fields(self, answer: str, wanted: str) -> FieldPair | None:
        chosen = self.settings["fields"]
        if chosen and self.settings["compare"] == "fields":
            target: Fields = Counter(Field(name, "", "") for name in chosen)
        else:
            try:
                target = self._fields_of(read_xml(strip_code_fence(wanted)))
            except NotXml:
                return None
        if self._problem(answer, wanted) == "":  # siblings in another order are right, too
            return FieldPair(target, target)
        try:
            got = self._fields_of(self._read(answer))
        except NotXml:
            return FieldPair(Counter(), target)
        return FieldPair(got, target)

    def _fields_of(self, root: Element) -> Fields:
        """The fields that are compared; without their values where only names are."""
        chosen = self.settings["fields"]
        if self.settings["compare"] == "fields":
            tags = _tags(root)
            if chosen:
                return Counter(Field(name, "", "") for name in chosen if tags[name])
            return Counter({Field(tag, "", ""): count for tag, count in tags.items()})
        return Counter(_flatten(root, root.tag, "", chosen))

    def _read(self, answer: str) -> Element:
        """Raises NotXml."""
        return read_xml(strip_code_fence(answer) if self.settings["allow_fence"] else answer)

    def _check(self, answer: str, wanted: str) -> Score:
        problem = self._problem(answer, wanted)
        if not problem:
            return AS_WANTED
        pair = self.fields(answer, wanted)
        return Score(False, partial_value(pair) if pair else 0.0, problem)

    def _problem(self, answer: str, wanted: str) -> str:
        """What is wrong with the answer, as a label; empty if nothing is."""
        try:
            got = self._read(answer)
        except NotXml as problem:
            return str(problem)
        chosen = self.settings["fields"]
        if chosen and self.settings["compare"] == "fields":
            return _differing_tags(Counter(set(chosen)), _tags(got), only=chosen)
        try:
            target = read_xml(strip_code_fence(wanted))
        except NotXml:
            return "The wanted answer is not valid XML"
        by_name = _differing_tags(_tags(target), _tags(got), only=chosen)
        if by_name or self.settings["compare"] == "fields":
            return by_name
        mine, theirs = _values(got), _values(target)
        differing = [
            tag for tag in theirs if (not chosen or tag in chosen) and mine.get(tag) != theirs[tag]
        ]
        if differing:
            return describe_names(differing, "differs", "differ", "element")
        if not chosen and _shape(got) != _shape(target):
            return "Elements nested in another way"
        return ""


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
        values[element.tag][(_own_text(element), *attributes)] += 1
    return values


def _shape(root: Element) -> tuple[object, ...]:
    """The element with its children sorted, so that order does not matter. Depth is limited."""
    text = " ".join((root.text or "").split())
    children = sorted((_shape(child) for child in root), key=repr)
    return (root.tag, text, tuple(sorted(root.attrib.items())), tuple(children))


def _differing_tags(wanted: Counter[str], got: Counter[str], only: list[str]) -> str:
    """Which elements are missing or not wanted, as a label; empty if none is. `only` limits the
    comparison to some names."""
    names = only or list(wanted)
    missing = [name for name in names if got[name] < max(wanted[name], 1)]
    extra = [] if only else [name for name in got if got[name] > wanted[name]]
    if missing:
        return describe_names(missing, "is missing", "are missing", "element")
    if extra:
        return describe_names(extra, "was not wanted", "were not wanted", "element")
    return ""


def _flatten(element: Element, name: str, place: str, only: list[str]) -> Iterator[Field]:
    """The texts and attributes below an element, by path. Where several siblings of one name have
    parts of their own, they count by their place. With `only`, just those of these elements."""
    children = list(element)
    if not only or element.tag in only:
        text = _own_text(element)
        if text or not children:
            yield Field(name, place, text)
        for attribute, value in element.attrib.items():
            yield Field(f"{name}.{attribute}", place, value)
    several = Counter(child.tag for child in children)
    seen: Counter[str] = Counter()
    for child in children:
        has_parts = bool(len(child) or child.attrib)
        at = f"{place}/{seen[child.tag]}" if several[child.tag] > 1 and has_parts else place
        seen[child.tag] += 1
        yield from _flatten(child, f"{name}.{child.tag}", at, only)


def _own_text(element: Element) -> str:
    pieces = [element.text, *(child.tail for child in element)]
    return " ".join(" ".join(piece or "" for piece in pieces).split())


def _commonest_document(answers: Sequence[str]) -> str:
    """The commonest root element with the commonest content of each child that at least half of the
    answers have; "" where they are no XML."""
    roots: list[Element] = []
    for answer in answers:
        try:
            roots.append(read_xml(strip_code_fence(answer)))
        except NotXml:
            continue
    if not roots:
        return ""
    tag = Counter(root.tag for root in roots).most_common(1)[0][0]
    same = [root for root in roots if root.tag == tag]
    children: dict[str, Counter[str]] = {}
    for root in same:
        for child in root:
            child.tail = None
            text = tostring(child, encoding="unicode")
            children.setdefault(child.tag, Counter())[text] += 1
    parts = [
        found.most_common(1)[0][0] for found in children.values() if 2 * found.total() >= len(same)
    ]
    return f"<{tag}>{''.join(parts)}</{tag}>"
