"""Any answer and expected answer get a score."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune_app.goals.measures import (
    KINDS,
    Score,
    get_measure,
    mark_differences,
    parse_fields,
    propose,
    summary,
)
from tests.goals.measures.settings_needed import NEEDED

CHECKED = [
    ("exact", {}),
    ("exact", {"lines": ["a"], "ignore_case": True}),
    ("json", {}),
    ("json", {"fields": ["a"], "compare": "fields"}),
    ("xml", {}),
    ("xml", {"fields": ["a"]}),
    ("bash", {}),
    ("bash", {"compare": "same_command"}),
    ("bash", {"compare": "exact"}),
    ("rules", {"max_words": 3, "order": ["a", "b"], "starts_with": "a"}),
    ("close", {}),
    ("json", {"partial": True}),
    ("xml", {"partial": True}),
    ("number", {"tolerance": 5, "unit": "percentage"}),
    ("refusal", {}),
    ("items", {"separator": "commas"}),
    ("pattern", {"pattern": "a+b?|[0-9]"}),
    ("rouge", {}),
    ("rules", {"ease": "a story", "max_sentences": 3}),
]
# Long enough to exhaust a recursion or a careless pattern.
HOSTILE = [
    "",
    " ",
    "\0",
    "\ufeff",
    "\ud800",
    "a\r\nb\rc",
    "\u202egnp.exe",
    "e\u0301\u200b\u200d",
    "👩‍👩‍👧",
    "(" * 10_000,
    "$(" * 5_000,
    "`" * 9_999,
    '"' * 9_999,
    "<<a " * 2_000,
    "{" * 10_000,
    "[" * 19_999,
    '{"a":' * 3_000,
    "<a>" * 6_000,
    "&lol;" * 1_000,
    "a: b\n" * 3_000,
    "a " * 9_000,
    "if " * 5_000,
    "x" * 1_000_000,
    "-" * 19_999,
    "Aa " * 6_000,
    "```\n" * 4_000,
    "${IFS}" * 3_000,
    "{{ x }}{% for %}",
    "'; DROP TABLE",
    '=HYPERLINK("http://x")',
    "1" * 19_999,
    "A" + "’" * 19_000,
    "Word " + "a: " * 6_000,
    "No, " * 200,
    "1," * 9_999,
    "1.234" * 4_000,
    "1 234 " * 3_000,
    "- " * 9_999,
    "." * 19_000 + "a",
]


@pytest.mark.parametrize(("kind", "chosen"), CHECKED)
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts_get_a_score(kind, chosen, text):
    measure = get_measure(kind, chosen)
    for answer, wanted in ((text, "a: 1\nb: 2"), (text, text), ("a: 1\nb: 2", text)):
        score = measure.check(answer, wanted)
        assert isinstance(score, Score)
        assert 0 <= score.value <= 1
        assert 0 < len(score.why) < 200
        assert "\n" not in score.why


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts_can_be_shown_and_used_to_propose_a_measure(text):
    assert "".join(piece for piece, _ in mark_differences(text, text[::-1])) == text
    parse_fields(text)
    proposal = propose(text, "task", [{"answer": text}, {"answer": "ls"}])
    assert summary(proposal.kind, proposal.settings)


@pytest.mark.parametrize(("kind", "chosen"), CHECKED)
@settings(max_examples=60, deadline=None)
@given(answer=st.text(alphabet="ab:{}[]<>/\"'\\$`|;&\n\t -=()#1,!", max_size=60), wanted=st.text())
def test_random_texts_get_a_score(kind, chosen, answer, wanted):
    measure = get_measure(kind, chosen)
    for pair in ((answer, wanted), (answer, answer), (wanted, answer)):
        score = measure.check(*pair)
        assert 0 <= score.value <= 1
        if score.passed and not measure.graded:
            assert score.value == 1


@pytest.mark.parametrize(("kind", "chosen"), CHECKED)
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts_have_fields_labels_and_a_constant(kind, chosen, text):
    measure = get_measure(kind, chosen)
    pair = measure.fields(text, text)
    assert pair is None or pair.got.total() >= 0
    assert measure.label(text) is None or isinstance(measure.label(text), str)
    assert isinstance(measure.best_constant([text, "a: 1\nb: 2"]), str)


def test_a_too_long_answer_is_not_checked():
    score = get_measure("json", {}).check("[" * 300_000, "{}")
    assert score.why == "Too long to check: 300,000 characters"


def test_every_kind_has_a_summary_and_labels_for_its_settings():
    for kind, measure in KINDS.items():
        assert summary(kind, NEEDED.get(kind))
        assert all(setting.label for setting in measure.settings_schema.values())
