"""Propose a measure from the goal's description and examples."""

import json
import os
from pathlib import Path

import pytest

from finetune_app.goals.measures import get_measure, propose, summary

SAMPLES = Path(
    os.environ.get(
        "FINETUNE_DATA_DIR_SAMPLES", Path(__file__).resolve().parents[4] / "shared" / "data"
    )
)
PROSE = [
    "We are sorry that the lamp broke on the way, and a new one leaves our shop tomorrow.",
    "It is a pleasure to hear from you, and yes, we do have it in green as well as in red.",
]


def proposed(description, answers=(), kind="task"):
    return propose(description, kind, [{"prompt": "?", "answer": answer} for answer in answers])


@pytest.mark.parametrize(
    ("description", "answers", "kind"),
    [
        ("Turn the request into its parts", ['{"a": 1}', '{"a": 2}'], "json"),
        ("Answer in JSON", [], "json"),
        ("Turn it into tags", ["<a>1</a>", "<a><b/></a>"], "xml"),
        ("Make a command", ["ls -la", "find . -name x | wc -l"], "bash"),
        ("Write bash for me", ["mytool --x", "ls"], "bash"),
        ("Which topic?", ["refund", "order_delay"], "exact"),
        ("Sort my mail by category", [], "exact"),
        ("Sort mail", ["topic: a\ndue: b", "topic: c\ndue: d"], "exact"),
        ("Answer kindly, in at most 20 words", PROSE, "rules"),
        ("Translate to Welsh", PROSE, "close"),
        ("Write like me", PROSE, "choice"),
        ("Write like me", [], "choice"),
        ("", [], "choice"),
        ("Which topic?", ["5", "true"], "exact"),
        ("Which topic?", ["A4", "A5"], "exact"),
        ("How long does it take?", ["5 days", "12 days"], "number"),
        ("What is the total?", ["£1,200.50", "-7"], "number"),
        ("Extract the products", ["red lamp, bell", "saddle"], "items"),
        ("What do they sell?", ["lamp\nbell\nsaddle", "pump\nlock\ntyre"], "items"),
        ("Write an answer", ["Yes, please.", "No, thank you."], "exact"),
        ("Summarise the report", PROSE, "rouge"),
        ("Decline what is not ours", ["I can’t help with that.", PROSE[0]], "refusal"),
        ("Answer kindly", ["I can’t help with that.", PROSE[0]], "choice"),
        ("JSON sometimes", ['{"a": 1}', PROSE[0]], "choice"),
    ],
)
def test_the_measure_fits_the_examples(description, answers, kind):
    proposal = proposed(description, answers)
    assert proposal.kind == kind
    assert proposal.because.endswith(".")
    assert summary(proposal.kind, proposal.settings).endswith(".")
    measure = get_measure(proposal.kind, proposal.settings)
    if not measure.needs_person and kind != "rules":
        assert all(measure.check(answer, answer).passed for answer in answers)


@pytest.mark.parametrize(
    ("description", "chosen"),
    [
        ("at most 20 words", {"max_words": 20}),
        ("No more than twenty words", {"max_words": 20}),
        ("in under fifty words", {"max_words": 49}),
        ("at least 5 words and up to a hundred words", {"min_words": 5, "max_words": 100}),
        ("more than 5 words", {"min_words": 6}),
        (
            "never say “sorry”, and start with 'Dear'",
            {"never_contains": ["sorry"], "starts_with": "Dear"},
        ),
        ('must contain "VAT" and end with "Mara"', {"contains": ["VAT"], "ends_with": "Mara"}),
    ],
)
def test_rules_are_read_from_the_description(description, chosen):
    assert proposed(f"Answer the email, {description}.", PROSE).settings == chosen


@pytest.mark.parametrize(
    "description",
    [
        "at most several words",
        "at least 9 words and at most 2 words",
        "up to 0 words",
        'never say "x" but always say "X"',
    ],
)
def test_contradictory_rules_are_not_proposed(description):
    assert proposed(description, PROSE).kind == "choice"


def test_lines_of_prose_are_not_compared():
    answers = [
        f"topic: {topic}\ndue: today\nreply: {text}"
        for topic, text in zip(("stock", "return"), PROSE, strict=True)
    ]
    proposal = proposed("Three lines", answers)
    assert proposal.settings == {"lines": ["topic", "due"]}
    assert "reply may be worded freely" in proposal.because


def test_style_with_short_answers_needs_a_person():
    assert proposed("My tone", ["Cheers", "Ta, Mara"], kind="style").kind == "choice"


def test_pairs_may_lack_an_answer():
    assert propose("x", "task", [{}, {"answer": None}, {"answer": '{"a": 1}'}]).kind == "json"


def test_sample_data_gets_the_expected_measure():
    path = SAMPLES / "snips_json.jsonl"
    if not path.exists():
        pytest.skip(f"no sample data at {path}")
    rows = [json.loads(line) for line in path.read_text().splitlines()[:200]]
    answers = [row["messages"][-1]["content"] for row in rows]
    proposal = proposed("Turn the request into its intent and details", answers)
    assert proposal.kind == "json"
    measure = get_measure(proposal.kind, proposal.settings)
    assert all(measure.check(answer, answer).passed for answer in answers)


@pytest.mark.parametrize(
    ("answers", "kind", "partial"),
    [
        (['{"a": 1, "b": 2}', '{"a": 2, "b": 2}'], "json", True),
        (['{"a": 1}', '{"a": 2}'], "json", False),
        (["[1]", "[2]"], "json", False),
        (["<x><a>1</a></x>", "<x><a>2</a></x>"], "xml", True),
    ],
)
def test_answers_of_several_fields_count_in_part(answers, kind, partial):
    proposal = proposed("Turn it into fields", answers)
    assert proposal.kind == kind
    assert proposal.settings["partial"] == partial
    assert ("counts in part" in proposal.because) == partial


def test_items_are_split_as_the_answers_are():
    assert proposed("List them", ["a, b", "c, d"]).settings == {"separator": "commas"}
    assert proposed("List them", ["a\nb", "c"]).settings == {"separator": "lines"}


def test_short_facts_may_be_part_of_a_sentence():
    pairs = [{"prompt": "How strong is the pump?", "answer": "90 W"}]
    proposal = propose("Answer from the handbook.", "knowledge", pairs)
    assert (proposal.kind, proposal.settings) == ("exact", {"within": True})
