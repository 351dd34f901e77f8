"""The success measure as an instruction to a model."""

import pytest

from finetune_app.goals.goal_prompt import goal_instructions
from finetune_app.goals.measures import KINDS, instruction, summary
from tests.goals.measures.settings_needed import NEEDED

LONG = "With kind regards from all of us at Kettle Lane Cycles"


@pytest.mark.parametrize(
    ("kind", "chosen", "words"),
    [
        ("exact", {}, "Answer with the answer alone"),
        ("exact", {"within": True}, "one short sentence"),
        ("exact", {"lines": ["topic", "due"]}, "“name: value” and nothing else, topic and due"),
        ("json", {"fields": ["topic", "due"]}, "valid JSON alone, with the fields topic and due"),
        ("json", {}, "Answer with valid JSON alone: no explanation"),
        ("xml", {"fields": ["item"]}, "well-formed XML alone, with the elements item"),
        ("bash", {}, "a bash command alone"),
        ("rules", {"max_words": 20, "ends_with": LONG}, f"at most 20 words; ends with “{LONG}”"),
        ("number", {}, "the number alone"),
        ("refusal", {}, "begin with “I can’t”"),
        ("items", {}, "one item a line"),
        ("items", {"separator": "commas"}, "with commas between"),
        ("pattern", {"pattern": "x"}, ""),
        ("rouge", {}, ""),
        ("meaning", {}, ""),
        ("close", {}, ""),
        ("choice", {}, ""),
    ],
)
def test_the_instruction_states_the_rule(kind, chosen, words):
    assert words in instruction(kind, chosen)
    assert bool(instruction(kind, chosen)) == bool(words)


@pytest.mark.parametrize("kind", KINDS)
def test_the_instruction_does_not_mention_the_expected_answer(kind):
    settings = NEEDED.get(kind)
    text = instruction(kind, settings)
    assert "Right when" in summary(kind, settings) or kind == "choice"
    assert "Right when" not in text
    assert "you wanted" not in text


def test_a_prompt_begins_with_the_goal_and_the_rule(goal):
    goal.measure, goal.measure_settings = "json", {"fields": ["topic"]}
    assert goal_instructions(goal) == (
        "Sort each email.\n\n"
        "Answer with valid JSON alone, with the fields topic: no explanation before or after it."
    )


@pytest.mark.parametrize("measure", ["", "choice", "close"])
def test_without_an_instruction_the_prompt_is_the_description(goal, measure):
    goal.measure, goal.measure_settings = measure, {}
    assert goal_instructions(goal) == "Sort each email."
