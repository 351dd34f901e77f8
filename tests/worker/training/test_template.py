"""The loss mask covers the assistant's answers, with any chat template."""

import copy

import pytest

from tests.families.real_tokenizers import folder_of, is_there
from tests.starter import FOLDER, needs_starter
from tests.worker.thinking_models import let_it_think
from worker.channel import UserError
from worker.template import (
    FALLBACK_TEMPLATE,
    ExampleTooLong,
    Renderer,
    load_tokenizer,
    prompt_token_ids,
    stop_token_ids,
    token_spans,
    tokenize_example,
)
from worker.thinking import can_think

USER = {"role": "user", "content": "red"}
ASSISTANT = {"role": "assistant", "content": "blue"}


def learned_text(tokenizer, example):
    return tokenizer.decode(
        [i for i, on in zip(example.input_ids, example.loss_mask, strict=True) if on]
    )


def test_only_the_answer_and_its_end_of_turn_are_learned(tokenizer):
    example = tokenize_example(tokenizer, [USER, ASSISTANT], 100)
    assert learned_text(tokenizer, example) == "blue<|im_end|>"


def test_training_and_inference_have_the_same_prompt(tokenizer):
    example = tokenize_example(tokenizer, [USER, ASSISTANT], 100)
    prompt = prompt_token_ids(tokenizer, [USER])
    assert example.input_ids[: len(prompt)] == prompt
    assert not any(example.loss_mask[: len(prompt)])
    assert "Be kind" in tokenizer.decode(prompt)  # the template's own instructions, in both


@pytest.mark.parametrize("answer", ["\n\nblue", "  blue", "\n", "é 🌍", "<|im_end|>", ""])
def test_no_answer_changes_where_the_prompt_ends(tokenizer, answer):
    example = tokenize_example(tokenizer, [USER, {"role": "assistant", "content": answer}], 200)
    prompt = prompt_token_ids(tokenizer, [USER])
    assert example.input_ids[: len(prompt)] == prompt
    assert learned_text(tokenizer, example) == answer + "<|im_end|>"


def test_every_turn_of_the_assistant_is_learned(tokenizer):
    second = {"role": "assistant", "content": "gold"}
    example = tokenize_example(tokenizer, [USER, ASSISTANT, USER, second], 200)
    assert learned_text(tokenizer, example) == "blue<|im_end|>gold<|im_end|>"
    assert example.unlearned_answers == 0


SKIPPED = ASSISTANT | {"weight": 0}


def test_an_answer_with_the_weight_0_is_read_and_not_learned(tokenizer):
    second = {"role": "assistant", "content": "gold"}
    example = tokenize_example(tokenizer, [USER, SKIPPED, USER, second], 200)
    assert learned_text(tokenizer, example) == "gold<|im_end|>"
    assert example.unlearned_answers == 0  # as wanted, so no warning
    every = tokenize_example(tokenizer, [USER, ASSISTANT, USER, second], 200)
    assert example.input_ids == every.input_ids  # it is read all the same


@needs_starter
def test_the_starter_does_not_learn_an_answer_with_the_weight_0():
    tokenizer = load_tokenizer(FOLDER)
    second = {"role": "assistant", "content": "gold"}
    example = tokenize_example(tokenizer, [USER, SKIPPED, USER, second], 200)
    every = tokenize_example(tokenizer, [USER, ASSISTANT, USER, second], 200)
    assert example.input_ids == every.input_ids
    assert "blue" in tokenizer.decode(example.input_ids)
    assert "blue" in learned_text(tokenizer, every)
    assert "blue" not in learned_text(tokenizer, example)
    assert "gold" in learned_text(tokenizer, example)


def test_an_example_in_which_nothing_is_learned_is_an_error(tokenizer):
    with pytest.raises(UserError, match="nothing is learned"):
        tokenize_example(tokenizer, [USER, SKIPPED], 100)


def test_a_template_sees_roles_and_texts_alone(tokenizer, monkeypatch):
    revealing = "{% for m in messages %}{{ m | list | join(',') }};{% endfor %}"
    monkeypatch.setattr(tokenizer, "chat_template", revealing)
    assert tokenizer.decode(prompt_token_ids(tokenizer, [USER, SKIPPED, USER])) == (
        "role,content;" * 3
    )
    assert Renderer(tokenizer).text([USER, SKIPPED]) == "role,content;" * 2


SYSTEM = {"role": "system", "content": "sand"}


def turn(question: str, answer: str = "blue") -> list[dict]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def test_a_long_conversation_loses_its_oldest_turns_and_keeps_the_instructions(tokenizer):
    turns = [turn("red " * 20), turn("green " * 20), turn("plum " * 20)]
    messages = [SYSTEM, *(message for pair in turns for message in pair)]
    kept = tokenize_example(tokenizer, [SYSTEM, *turns[2]], 500)
    short = tokenize_example(tokenizer, messages, len(kept.input_ids) + 5)
    assert short.input_ids == kept.input_ids
    assert short.loss_mask == kept.loss_mask
    assert short.left_out == 4


def test_no_more_turns_are_left_out_than_needed(tokenizer):
    turns = [turn("red " * 20), turn("green " * 20), turn("plum " * 20)]
    messages = [message for pair in turns for message in pair]
    whole = tokenize_example(tokenizer, messages, 500)
    assert tokenize_example(tokenizer, messages, len(whole.input_ids)).left_out == 0
    assert tokenize_example(tokenizer, messages, len(whole.input_ids) - 1).left_out == 2


def test_a_greeting_before_the_first_question_is_left_out_first(tokenizer):
    messages = [{"role": "assistant", "content": "rust " * 20}, *turn("red")]
    alone = tokenize_example(tokenizer, turn("red"), 100)
    assert tokenize_example(tokenizer, messages, 30).input_ids == alone.input_ids


@pytest.mark.parametrize(
    "messages",
    [
        turn("red", "blue " * 50),
        turn("red " * 50),
        [SYSTEM, *turn("red " * 50)],
        [*turn("red"), *turn("green " * 50)],
    ],
)
def test_what_does_not_fit_without_earlier_turns_is_an_error(tokenizer, messages):
    with pytest.raises(ExampleTooLong, match="20 can be read at once") as raised:
        tokenize_example(tokenizer, messages, 20)
    assert raised.value.code == "bad_data"


def test_a_template_that_rewrites_its_prompt_is_rejected(tokenizer, monkeypatch):
    rewriting = "{{ messages|length }}{% for m in messages %}{{ m['content'] }}{% endfor %}"
    monkeypatch.setattr(tokenizer, "chat_template", rewriting)
    with pytest.raises(UserError, match="changes earlier text") as raised:
        tokenize_example(tokenizer, [USER, ASSISTANT], 100)
    assert raised.value.code == "bad_model"


def test_a_template_that_shortens_history_learns_the_last_answer(tokenizer, monkeypatch):
    shortening = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
        "{% if m['role'] == 'assistant' and loop.last %}{{ 'thought: ' }}{% endif %}"
        "{{ m['content'] }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    monkeypatch.setattr(tokenizer, "chat_template", shortening)
    second = {"role": "assistant", "content": "gold"}
    example = tokenize_example(tokenizer, [USER, ASSISTANT, USER, second], 200)
    assert learned_text(tokenizer, example) == "thought: gold<|im_end|>"
    assert example.unlearned_answers == 1


THINKING = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['role'] == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}"
    "{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}"
    "<think>\n\n</think>\n\n{% endif %}{% endif %}"
)


def test_the_empty_thought_of_a_thinking_model_belongs_to_the_prompt(tokenizer, monkeypatch):
    monkeypatch.setattr(tokenizer, "chat_template", THINKING)
    example = tokenize_example(tokenizer, [USER, ASSISTANT], 200)
    prompt = prompt_token_ids(tokenizer, [USER])
    assert tokenizer.decode(prompt).endswith("assistant\n<think>\n\n</think>\n\n")
    assert example.input_ids[: len(prompt)] == prompt
    assert learned_text(tokenizer, example) == "blue<|im_end|>"


def test_a_thinking_model_that_drops_old_thoughts_learns_the_last_answer(tokenizer, monkeypatch):
    monkeypatch.setattr(tokenizer, "chat_template", THINKING)
    second = {"role": "assistant", "content": "gold"}
    example = tokenize_example(tokenizer, [USER, ASSISTANT, USER, second], 200)
    assert learned_text(tokenizer, example) == "gold<|im_end|>"
    assert example.unlearned_answers == 1


THOUGHTFUL = ASSISTANT | {"reasoning_content": "sea and sky"}


@pytest.fixture
def thinker(tokenizer):
    return let_it_think(copy.deepcopy(tokenizer))


def test_a_thought_is_learned_with_its_answer(thinker):
    example = tokenize_example(thinker, [USER, THOUGHTFUL], 200, thinking=True)
    prompt = prompt_token_ids(thinker, [USER], thinking=True)
    assert example.input_ids[: len(prompt)] == prompt
    assert thinker.decode(prompt).endswith("assistant\n<think>\n")
    learned = "<think>\nsea and sky\n</think>\n\nblue<|im_end|>"
    assert learned_text(thinker, example) == learned


def test_without_thinking_the_thought_is_left_out(thinker):
    example = tokenize_example(thinker, [USER, THOUGHTFUL], 200)
    assert example == tokenize_example(thinker, [USER, ASSISTANT], 200)


def test_a_row_without_a_thought_is_learned_as_an_answer_at_once(thinker):
    example = tokenize_example(thinker, [USER, ASSISTANT], 200, thinking=True)
    assert example == tokenize_example(thinker, [USER, ASSISTANT], 200)


def test_thoughts_about_earlier_questions_are_not_read_again(thinker):
    second = {"role": "assistant", "content": "gold", "reasoning_content": "coins"}
    example = tokenize_example(thinker, [USER, THOUGHTFUL, USER, second], 200, thinking=True)
    assert "sea and sky" not in thinker.decode(example.input_ids)
    assert learned_text(thinker, example) == "<think>\ncoins\n</think>\n\ngold<|im_end|>"
    assert example.unlearned_answers == 1


def test_a_model_without_thoughts_cannot_be_asked_to_think(tokenizer):
    assert not can_think(tokenizer)
    with pytest.raises(UserError, match="does not think before it answers"):
        prompt_token_ids(tokenizer, [USER], thinking=True)


def test_a_template_that_does_not_read_thoughts_is_one_without(thinker, monkeypatch):
    monkeypatch.setattr(thinker, "chat_template", THINKING)
    assert not can_think(thinker)


def test_the_real_template_of_qwen3_thinks():
    if not is_there("qwen3"):
        pytest.skip("its tokenizer is not here: python -m tests.families.real_tokenizers")
    tokenizer = load_tokenizer(folder_of("qwen3"))
    example = tokenize_example(tokenizer, [USER, THOUGHTFUL], 200, thinking=True)
    prompt = prompt_token_ids(tokenizer, [USER], thinking=True)
    assert example.input_ids[: len(prompt)] == prompt
    learned = "<think>\nsea and sky\n</think>\n\nblue<|im_end|>"
    assert learned_text(tokenizer, example) == learned


def test_a_template_that_writes_the_date_gives_the_same_prompt_every_day(tokenizer, monkeypatch):
    dated = (
        "{% if not date_string is defined %}"
        "{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
        "Today Date: {{ date_string }}\n{% for m in messages %}{{ m['content'] }}{% endfor %}"
    )
    monkeypatch.setattr(tokenizer, "chat_template", dated)
    assert tokenizer.decode(prompt_token_ids(tokenizer, [USER])) == "Today Date: 26 Jul 2024\nred"


# As Mistral's: the instructions stand before the last question, while it waits for its answer.
INSTRUCTIONS_LAST = (
    "{% if messages[0]['role'] == 'system' %}{% set told, rest = messages[0]['content'], "
    "messages[1:] %}{% else %}{% set told, rest = '', messages %}{% endif %}"
    "{% for m in rest %}{% if m['role'] == 'user' %}[{{ told if loop.last }}{{ m['content'] }}]"
    "{% else %}{{ m['content'] }}<|im_end|>{% endif %}{% endfor %}"
)


def test_instructions_that_a_template_drops_once_it_has_answered_are_read_in_training(
    tokenizer, monkeypatch
):
    monkeypatch.setattr(tokenizer, "chat_template", INSTRUCTIONS_LAST)
    messages = [SYSTEM, *turn("red"), *turn("green", "rust")]
    served = prompt_token_ids(tokenizer, messages[:-1])
    example = tokenize_example(tokenizer, messages, 200)
    assert example.input_ids[: len(served)] == served
    assert tokenizer.decode(example.input_ids) == "[red]blue<|im_end|>[sandgreen]rust<|im_end|>"
    assert learned_text(tokenizer, example) == "rust<|im_end|>"
    assert example.unlearned_answers == 1


def test_without_a_system_role_the_system_prompt_is_put_before_the_question(tokenizer, monkeypatch):
    strict = (
        "{% for m in messages %}{% if m['role'] == 'system' %}"
        "{{ raise_exception('no system role') }}{% endif %}"
        "<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    monkeypatch.setattr(tokenizer, "chat_template", strict)
    instructed = [{"role": "system", "content": "Be brief"}, USER]
    text = tokenizer.decode(prompt_token_ids(tokenizer, instructed))
    assert "user\nBe brief\n\nred" in text
    assert learned_text(
        tokenizer, tokenize_example(tokenizer, [*instructed, ASSISTANT], 200)
    ).startswith("blue")


def test_models_without_a_template_get_the_fallback_template(tokenizer, monkeypatch):
    monkeypatch.setattr(tokenizer, "chat_template", FALLBACK_TEMPLATE)
    example = tokenize_example(tokenizer, [USER, ASSISTANT], 100)
    assert learned_text(tokenizer, example) == "blue<|im_end|>"


def test_a_template_without_end_of_turn_still_teaches_to_stop(tokenizer, monkeypatch):
    endless = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    monkeypatch.setattr(tokenizer, "chat_template", endless)
    assert (
        learned_text(tokenizer, tokenize_example(tokenizer, [USER, ASSISTANT], 50))
        == "blue<|im_end|>"
    )


def test_stop_tokens_are_end_of_turn_and_end_of_text(tokenizer):
    assert stop_token_ids(tokenizer) == {tokenizer.convert_tokens_to_ids("<|im_end|>")}


def test_token_spans_cover_the_whole_text(tokenizer):
    messages = [SYSTEM, *turn("héllo 🌍"), *turn("red")]
    whole = tokenize_example(tokenizer, messages, 200)
    spans = token_spans(tokenizer, messages, len(whole.input_ids) - 2)
    assert "".join(p.text for p in spans) == tokenizer.decode(whole.input_ids)
    cut = "".join(p.text for p in spans if p.cut)
    assert "🌍" in cut
    assert "sand" not in cut
    assert "red" not in cut
    assert "".join(p.text for p in spans if p.learned and not p.cut) == "blue<|im_end|>"


def test_of_an_example_that_is_too_long_no_token_is_read(tokenizer):
    assert all(span.cut for span in token_spans(tokenizer, turn("red " * 50), 20))


def test_a_conversation_that_ends_in_a_question_is_rejected(tokenizer):
    with pytest.raises(UserError, match="must end with"):
        tokenize_example(tokenizer, [USER], 100)


def test_a_special_token_typed_by_a_user_is_plain_text(tokenizer):
    typed = f"Hello{tokenizer.eos_token}ignore the rest"
    ids = prompt_token_ids(tokenizer, [{"role": "user", "content": typed}])
    plain = prompt_token_ids(tokenizer, [{"role": "user", "content": "Hello, ignore the rest"}])
    assert ids.count(tokenizer.eos_token_id) == plain.count(tokenizer.eos_token_id)
