"""Training pairs: the better answer is the example's own, the worse one comes with it."""

import json

import pytest

from finetune_app.imports.cell_values import RowError
from finetune_app.imports.column_inference import infer_mapping
from finetune_app.imports.column_mapping import RowExample, example_from_row
from finetune_app.imports.transcripts import transcript
from worker.imports.inspect import inspect_file

ASKED = {"role": "user", "content": "Hello"}
BETTER = {"role": "assistant", "content": "Hi"}
WORSE = {"role": "assistant", "content": "Go away"}
SYSTEM = {"role": "system", "content": "Be kind"}
EARLIER = [ASKED, {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "Bye"}]
HELLO = RowExample([ASKED, BETTER], "Go away")


def read(row: dict) -> RowExample:
    return example_from_row(row, infer_mapping(list(row), [row]))


PAIRS = [
    # TRL: an explicit prompt, as texts and as messages
    {"prompt": "Hello", "chosen": "Hi", "rejected": "Go away"},
    {"prompt": [ASKED], "chosen": [BETTER], "rejected": [WORSE]},
    # TRL: an implicit prompt
    {"chosen": [ASKED, BETTER], "rejected": [ASKED, WORSE]},
    {
        "chosen": "\n\nHuman: Hello\n\nAssistant: Hi",
        "rejected": "\n\nHuman: Hello\n\nAssistant: Go away",
    },
    # UltraFeedback: the prompt and whole conversations
    {
        "prompt": "Hello",
        "messages": [ASKED, BETTER],
        "chosen": [ASKED, BETTER],
        "rejected": [ASKED, WORSE],
        "score_chosen": "8.5",
    },
    # others
    {"question": "Hello", "chosen": "Hi", "rejected": "Go away", "answer": "never learned"},
    {"instruction": "Hello", "input": "", "output": "Hi", "rejected": "Go away"},
    {"instruction": "Hello", "chosen_response": "Hi", "rejected_response": "Go away"},
    {"messages": [ASKED], "chosen": [BETTER], "rejected": [WORSE]},
    {"messages": [ASKED, BETTER], "rejected": "Go away"},
    {"prompt": "Hello", "better answer": "Hi", "worse answer": "Go away"},
    {  # OpenAI
        "input": {"messages": [ASKED], "tools": [], "parallel_tool_calls": True},
        "preferred_output": [BETTER],
        "non_preferred_output": [WORSE],
    },
]


@pytest.mark.parametrize("row", PAIRS)
def test_both_answers_are_read_from_every_layout(row):
    assert read(row) == HELLO


@pytest.mark.parametrize("row", PAIRS)
def test_so_are_cells_of_tables_and_the_samples_of_the_page(stored, channel, row):
    """There, conversations are JSON text."""
    inspection = inspect_file(stored(json.dumps(row).encode()), "f.json", {}, channel)
    shown = inspection["shape"]["rows"][0]["cells"]
    assert all(isinstance(cell, str) for cell in shown.values())
    assert example_from_row(shown, inspection["mapping"]) == HELLO
    assert inspection["shape"]["usable"] == 1
    assert "has a worse answer to the same" in inspection["mapping"]["why"]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": EARLIER, "chosen": [BETTER], "rejected": [WORSE]},
        {"prompt": EARLIER, "chosen": "Hi", "rejected": [*EARLIER, WORSE]},
        {"chosen": [*EARLIER, BETTER], "rejected": [*EARLIER, WORSE]},
        {"input": {"messages": EARLIER}, "preferred_output": [BETTER], "rejected": "Go away"},
    ],
)
def test_earlier_turns_are_kept(row):
    assert read(row) == ([*EARLIER, BETTER], "Go away")


@pytest.mark.parametrize(
    "row",
    [
        {"system": "Be kind", "question": "Hello", "chosen": "Hi", "rejected": "Go away"},
        {"system": "Be kind", "chosen": [ASKED, BETTER], "rejected": [ASKED, WORSE]},
        {"chosen": [SYSTEM, ASKED, BETTER], "rejected": [SYSTEM, ASKED, WORSE]},
        {"system": "Be kind", "chosen": [ASKED, BETTER], "rejected": [SYSTEM, ASKED, WORSE]},
        {"prompt": [SYSTEM, ASKED], "chosen": "Hi", "rejected": "Go away"},
    ],
)
def test_instructions_are_kept(row):
    assert read(row) == ([SYSTEM, ASKED, BETTER], "Go away")


@pytest.mark.parametrize("nothing", [None, "", " \n", [], {}])
def test_a_row_without_a_worse_answer_is_no_pair(nothing):
    mapping = infer_mapping(["prompt", "chosen", "rejected"], [PAIRS[0]])
    row = {"prompt": "Hello", "chosen": "Hi", "rejected": nothing}
    assert example_from_row(row, mapping) == ([ASKED, BETTER], "")


@pytest.mark.parametrize("text", ["{}", "[]", "null", "Human: Hello\n\nAssistant: Hi"])
def test_a_worse_answer_that_looks_like_data_is_text(text):
    row = {"prompt": "Hello", "chosen": "Hi", "rejected": text}
    mapping = infer_mapping(list(row), [PAIRS[0]])
    assert example_from_row(row, mapping).rejected == text


OTHER = {"role": "user", "content": "Good day"}
IMPOSSIBLE = [
    ({"prompt": "Hello", "chosen": "Hi", "rejected": " Hi\n"}, "are the same"),
    ({"chosen": [ASKED, BETTER], "rejected": [ASKED, BETTER]}, "are the same"),
    ({"chosen": [ASKED, BETTER], "rejected": [OTHER, WORSE]}, "another one before its last"),
    ({"chosen": [*EARLIER, BETTER], "rejected": [ASKED, WORSE]}, "another one before its last"),
    ({"prompt": [ASKED], "chosen": [BETTER], "rejected": [OTHER, WORSE]}, "another one before"),
    ({"chosen": [ASKED, BETTER], "rejected": [ASKED]}, "does not end in an answer"),
    (
        {"chosen": [ASKED, BETTER], "rejected": [ASKED, {"role": "assistant", "content": " "}]},
        "ends in an empty answer",
    ),
    (
        {"chosen": "Human: Hello\n\nAssistant: Hi", "rejected": "Go away"},
        "is no whole conversation",
    ),
    (
        {
            "chosen": "Human: Hello\n\nAssistant: Hi",
            "rejected": "Human: Hi\n\nAssistant: Go away",
        },
        "another one before its last",
    ),
    ({"prompt": "Hello", "chosen": " ", "rejected": "Go away"}, "“chosen” is empty"),
]


@pytest.mark.parametrize(("row", "why"), IMPOSSIBLE)
def test_a_pair_that_compares_nothing_is_refused(row, why):
    mapping = infer_mapping(list(row), [row]) | {"unanswered": ""}
    with pytest.raises(RowError, match=why):
        example_from_row(row, mapping)


def test_the_refused_pair_is_listed_with_its_line(import_file):
    rows = [PAIRS[2], IMPOSSIBLE[2][0], PAIRS[2], IMPOSSIBLE[1][0]]
    content = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    kept, result = import_file(content, "f.jsonl")
    assert [(row["messages"], row["rejected"]) for row in kept] == [tuple(HELLO)] * 2
    assert [row["line"] for row in result["rejected"]] == [2, 4]
    assert "correct it, or leave the row out" in result["rejected"][0]["reason"]
    assert "Change one of them, or leave “rejected” empty." in result["rejected"][1]["reason"]


@pytest.mark.parametrize("flag", ["yes", "FALSE", "1", ""])
def test_a_column_that_says_yes_or_no_is_no_answer(flag):
    row = {"prompt": "Hello", "answer": "Hi", "rejected": flag}
    assert infer_mapping(list(row), [row])["rejected"] == ""


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Is it ready?", "answer": "yes", "rejected": "no"},
        {"prompt": "Is it ready?", "chosen": "Yes", "rejected": "No"},
        {"messages": [ASKED, {"role": "assistant", "content": "yes"}], "rejected": "no"},
    ],
)
def test_where_answers_say_yes_or_no_the_worse_one_may_too(row):
    assert read(row).rejected.lower() == "no"


def test_only_a_text_that_begins_with_a_name_and_has_an_answer_is_a_transcript():
    assert transcript("Human: a\n\nAssistant: b\n\nc\n\nHuman: d\n\nAssistant: e") == [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b\n\nc"},
        {"role": "user", "content": "d"},
        {"role": "assistant", "content": "e"},
    ]
    for text in (
        "Dear Human: hello\n\nAssistant: b",
        "Human: hello",
        "Humans\n\nHuman: a\n\nAssistant: b",
        "",
        None,
        ["Human: a"],
    ):
        assert transcript(text) is None
