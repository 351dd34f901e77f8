"""Building the prompt that a candidate's model gets."""

import pytest

from finetune_app.candidates import services
from finetune_app.candidates.prompt_builder import (
    NO_ANSWER_TEXT,
    Passage,
    PromptTemplate,
    build_prompt,
)
from finetune_app.knowledge.passage_counts import passage_count_for
from worker.evaluation.inputs import read_candidates

SHOT = ("Hello", "topic: other")
ASKED = [{"role": "user", "content": "Is it ready?"}]
KIND = [{"role": "system", "content": "Be kind."}]


def passage(number: int, text: str = "The pump is rated 90 W.") -> Passage:
    return Passage(number, "handbook.md", f"Page {number}", number, 0, text)


def test_without_a_template_the_messages_are_unchanged():
    composed = build_prompt(PromptTemplate(), ASKED)
    assert (composed.messages, composed.passages) == (ASKED, [])


def test_instructions_come_first_then_examples_then_the_question():
    messages = build_prompt(PromptTemplate("Sort it.", (SHOT,)), KIND + ASKED).messages
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert messages[0]["content"] == "Sort it.\n\nBe kind."
    assert messages[-1] == ASKED[0]


def test_weights_stay_with_the_examples():
    earlier = [*ASKED, {"role": "assistant", "content": "Yes.", "weight": 0}]
    messages = build_prompt(PromptTemplate(), earlier + ASKED).messages
    assert messages[1] == {"role": "assistant", "content": "Yes."}


def test_passages_are_put_before_the_last_question():
    earlier = [*ASKED, {"role": "assistant", "content": "Yes."}]
    composed = build_prompt(
        PromptTemplate(grounded=True), earlier + ASKED, [passage(1), passage(2)]
    )
    assert composed.passages == [passage(1), passage(2)]
    assert composed.messages[1:3] == earlier
    last = composed.messages[-1]["content"]
    assert last.index("[1] Page 1") < last.index("[2] Page 2") < last.index("Is it ready?")
    assert NO_ANSWER_TEXT in composed.messages[0]["content"]


def test_without_passages_the_model_is_still_told_to_say_so():
    composed = build_prompt(PromptTemplate(grounded=True), ASKED)
    assert NO_ANSWER_TEXT in composed.messages[0]["content"]
    assert composed.messages[-1] == ASKED[0]


def test_passages_that_do_not_fit_are_left_out_except_the_best():
    long = "word " * 300
    found = [passage(n, long) for n in range(9)]
    composed = build_prompt(PromptTemplate(grounded=True, context_length=1500), ASKED, found)
    assert [one.document for one in composed.passages] == [0]
    small = build_prompt(
        PromptTemplate(grounded=True, context_length=10), ASKED, [passage(7, long)]
    )
    assert [one.document for one in small.passages] == [7]


def test_a_candidate_without_knowledge_is_given_no_passages():
    assert build_prompt(PromptTemplate(), ASKED, [passage(1)]).messages == ASKED


def test_the_given_messages_are_not_modified():
    asked = [dict(ASKED[0])]
    build_prompt(PromptTemplate(grounded=True), asked, [passage(1)])
    assert asked == ASKED


@pytest.mark.parametrize("instructions", ["", "Sort it."])
@pytest.mark.parametrize("shots", [[], [{"prompt": "Hello", "answer": "topic: other"}]])
def test_web_and_worker_build_the_same_prompt(trained, instructions, shots):
    candidate = services.prompt_candidate(
        goal=trained.goal, base_model=trained.base_model, instructions=instructions, shots=shots
    )
    (read,) = read_candidates([services.candidate_spec(candidate)])
    here = build_prompt(services.prompt_template(candidate), KIND + ASKED).messages
    assert here == read.build_prompt(KIND + ASKED).messages


@pytest.mark.parametrize(
    ("parameters", "count"), [(134_515_008, 1), (1_700_000_000, 3), (8_000_000_000, 5), (0, 5)]
)
def test_a_small_model_is_shown_fewer_passages(parameters, count):
    assert passage_count_for(parameters) == count
