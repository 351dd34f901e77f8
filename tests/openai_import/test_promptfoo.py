"""A Promptfoo configuration becomes test rows and a measure; what it cannot become is named."""

import json

import pytest

from finetune_app.core.errors import PlainError
from finetune_app.goals.measures import get_measure
from finetune_app.openai_import.promptfoo import Suite, read_suite
from tests.openai_import.conftest import SUITE


def suite(**fields) -> Suite:
    """Of a configuration whose one prompt is the question."""
    return read_suite(json.dumps({"prompts": ["{{question}}"]} | fields).encode())


def asserts(kind: str, value=None, **fields) -> dict:
    """A test that asserts this."""
    assertion = {"type": kind, "value": value} | fields
    return {"vars": {"question": "What?"}, "assert": [assertion]}


def assert_wanted_answers_are_right(found: Suite) -> None:
    """The measure calls each wanted answer right."""
    measure = get_measure(found.measure, found.measure_settings)
    wanted = [row[-1]["content"] for row in found.rows]
    assert [text for text in wanted if not measure.check(text, text).passed] == []


def test_an_exported_evaluation():
    found = read_suite(SUITE.encode())
    assert_wanted_answers_are_right(found)
    assert found.name == "Card questions"
    assert found.rows == [
        [
            {"role": "system", "content": "Answer with one label."},
            {"role": "user", "content": "Where is my card?"},
            {"role": "assistant", "content": "card_lost"},
        ],
        [
            {"role": "system", "content": "Answer with one label."},
            {"role": "user", "content": "Is it yes or no?"},
            {"role": "assistant", "content": "yes"},  # a text, as in JavaScript
        ],
    ]
    assert (found.measure, found.measure_settings) == ("exact", {})
    assert found.notes == [
        "“latency” in every test is left out: step 6 shows costs and waiting times."
    ]


@pytest.mark.parametrize(
    ("assertion", "measure", "chosen"),
    [
        (("equals", "Paris"), "exact", {}),
        (("equals", {"city": "Paris"}), "json", {}),
        (("icontains", "Paris"), "exact", {"within": True}),
        (("similar", "Paris"), "meaning", {}),
        (("rouge-n", "Paris"), "rouge", {}),
        (("levenshtein", "Paris"), "close", {}),
        (("factuality", "It is Paris"), "choice", {}),
    ],
)
def test_each_assertion_has_its_measure(assertion, measure, chosen):
    found = suite(tests=[asserts(*assertion)])
    assert (found.measure, found.measure_settings) == (measure, chosen)
    assert not found.notes


def test_json_is_the_measure_only_where_each_wanted_answer_is_json():
    one = asserts("equals", {"a": 1})
    one["assert"].append({"type": "is-json"})
    found = suite(tests=[*[asserts("equals", "refund")] * 3, one])
    assert (found.measure, found.measure_settings) == ("exact", {})
    assert found.notes == [
        "“is-json” in 1 of 4 tests is left out: the measure checks something else."
    ]
    assert_wanted_answers_are_right(found)
    assert suite(tests=[one, asserts("equals", [1])]).measure == "json"


def test_a_part_of_a_json_answer_is_not_compared_as_json():
    part = asserts("contains", '"status": "ok"')
    part["assert"].append({"type": "is-json"})
    found = suite(tests=[part])
    assert (found.measure, found.measure_settings) == ("exact", {"within": True})
    assert_wanted_answers_are_right(found)


def test_a_threshold_is_taken_over():
    found = suite(tests=[asserts("similar", "Paris", threshold=0.7)])
    assert found.measure_settings == {"threshold": 0.7}
    assert not suite(tests=[asserts("similar", "Paris", threshold=40)]).measure_settings


def test_one_pattern_for_all_tests_is_the_measure():
    with_answer = {"vars": {"question": "?", "expected": "A-12"}}
    checked = with_answer | {"assert": [{"type": "regex", "value": "[A-Z]-[0-9]+"}]}
    found = suite(tests=[checked, checked])
    assert found.measure == "pattern"
    assert found.measure_settings["pattern"] == "[A-Z]-[0-9]+"


def test_the_measure_of_most_tests_wins_and_the_others_are_named():
    found = suite(tests=[asserts("equals", "a"), asserts("equals", "b"), asserts("rouge-n", "c")])
    assert found.measure == "exact"
    assert [row[-1]["content"] for row in found.rows] == ["a", "b"]
    assert found.notes == [
        "“rouge-n” in 1 of 3 tests is left out: the measure checks something else.",
        "Test 3 is left out: its wanted answer is for another measure.",
    ]


def test_the_wanted_answer_is_of_an_assertion_that_the_measure_checks():
    regards = {"assert": [{"type": "icontains", "value": "Regards"}]}
    found = suite(defaultTest=regards, tests=[asserts("equals", "A"), asserts("equals", "B")])
    assert (found.measure, found.measure_settings) == ("exact", {})
    assert [row[-1]["content"] for row in found.rows] == ["A", "B"]
    assert found.notes == [
        "“icontains” in every test is left out: the measure checks something else."
    ]
    assert_wanted_answers_are_right(found)


def test_what_all_tests_want_is_for_those_that_want_nothing_of_their_own():
    default = {"assert": [{"type": "equals", "value": "none of these"}]}
    other = {"vars": {"question": "What?"}}
    found = suite(defaultTest=default, tests=[asserts("equals", "A"), other])
    assert [row[-1]["content"] for row in found.rows] == ["A", "none of these"]


def test_an_edit_distance_is_no_threshold():
    assert not suite(tests=[asserts("levenshtein", "Paris", threshold=1)]).measure_settings


def test_nothing_of_the_file_is_run():
    test = asserts("equals", "Paris")
    test["assert"].append({"type": "javascript", "value": "output.length < process.exit()"})
    assert suite(tests=[test]).notes == [
        "“javascript” in every test is left out: nothing that a file brings is run."
    ]


def test_tests_without_a_wanted_answer_are_named():
    found = suite(tests=[asserts("equals", "Paris"), asserts("llm-rubric", "is friendly")])
    assert len(found.rows) == 1
    assert found.notes == ["Test 2 is left out: no wanted answer is given."]


def test_tests_with_lists_or_files_as_values_are_named():
    lists = {"vars": {"question": ["a", "b"], "expected": "c"}}
    files = {"vars": {"question": "file:///etc/passwd", "expected": "c"}}
    found = suite(tests=[asserts("equals", "Paris"), lists, files, files])
    assert len(found.rows) == 1
    assert found.notes == [
        "Test 2 is left out: “question” has no single value.",
        "2 tests are left out (3, 4): “question” is in another file.",
    ]


def test_other_prompts_are_named():
    found = suite(prompts=["{{question}}", "Short: {{question}}"], tests=[asserts("equals", "a")])
    assert found.rows[0][0]["content"] == "What?"
    assert found.notes == [
        "The first of 2 prompts is used. Try the others in step 4, as instructions."
    ]


NOT_OF_THEIR_TYPE = [
    *(b"timestamp x", b"timestamp 2026-01-01", b'int ""', b"bool x", b'float ""'),
    *(b"binary aGFsbG8=", b"set {a}", b"omap [a: 1]"),
]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"prompts: [", "line"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"- a list", "no “prompts” or no “tests”"),
        (b"prompts: [file://prompt.txt]\ntests: []", "prompts are in another file"),
        (b"prompts: [hello]\ntests: file://tests.csv", "tests are in another file"),
        (b"prompts: ['{% for a in b %}']\ntests: []", "more than plain variables"),
        (b"prompts: ['{{ a | dump }}']\ntests: []", "more than plain variables"),
        (b"prompts: ['{{ a }}']\ntests: []", "none of its tests can be used"),
        (b"a: &a [*a]\nprompts: [hi]\ntests: []", "values"),
        (b"[" * 100_000, "cannot be read"),
        (b"!!python/object/apply:os.system ['true']", "cannot be read"),
        *((b"x: !!%s" % value, "cannot be read: ") for value in NOT_OF_THEIR_TYPE),
    ],
)
def test_what_cannot_be_read_says_why(content, why):
    with pytest.raises(PlainError) as refused:
        read_suite(content)
    assert why in refused.value.message


def test_a_few_lines_that_stand_for_billions_are_refused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    bomb = "\n".join([*lines, "prompts: ['{{a}}']", "tests: [{vars: {a: *a9}}]"])
    with pytest.raises(PlainError, match="values"):
        read_suite(bomb.encode())


def test_merges_of_many_times_many_values_are_refused():
    keys = ", ".join(f"k{n}: 1" for n in range(2_000))
    with pytest.raises(PlainError, match="values"):
        read_suite(f"a: &a {{{keys}}}\nb: {{<<: [{', '.join(['*a'] * 1_000)}]}}".encode())


def test_merges_are_read():
    found = read_suite(
        b"prompts: ['{{a}}']\nx: &x {a: one, expected: two}\n"
        b"tests: [{vars: {<<: *x}}, {vars: {<<: [*x], a: three}}]"
    )
    assert [row[-2]["content"] for row in found.rows] == ["one", "three"]


LONG = "x" * 1_000_000


@pytest.mark.parametrize(
    "fields",
    [
        {"tests": [{"vars": {"question": "?", "expected": "!"}}] * 500, "prompts": [LONG]},
        {"tests": [{"vars": {"a": LONG, "expected": "!"}}], "prompts": ["{{a}}" * 10_000]},
        {
            "tests": [asserts("equals", "x")] * 500,
            "defaultTest": {"assert": [{"type": "contains", "value": "{{question}}" * 10_000}]},
        },
        {
            "tests": [asserts("equals", "x")] * 1000,
            "defaultTest": {"assert": [{"type": "contains", "value": "x"}] * 1000},
        },
    ],
)
def test_a_few_tests_that_become_gigabytes_are_refused(fields):
    with pytest.raises(PlainError, match="20,000,000 characters"):
        suite(**fields)


def test_texts_that_no_database_stores_are_replaced():
    found = read_suite(b'prompts: ["a\\0b"]\ntests: [{vars: {expected: x}}]')
    assert found.rows[0][0]["content"] == "a␀b"
