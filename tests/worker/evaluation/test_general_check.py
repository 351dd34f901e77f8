"""The general check: each of its checks, and the level that follows."""

import math
from types import SimpleNamespace

import pytest
import torch

from tests.worker.engine.tiny_models import make_adapter
from worker.engine.engine import Engine
from worker.evaluation.general_check.check import compare
from worker.evaluation.general_check.collapse import UNRELATED, TaskForm, is_repetitive, is_strange
from worker.evaluation.general_check.findings import GeneralFindings
from worker.evaluation.general_check.instructions import INSTRUCTIONS
from worker.evaluation.general_check.perplexity import mean_loss, text_windows
from worker.perplexity import perplexity_ratio

# For each instruction, an answer that follows it and one that nearly does.
ANSWERS = [
    ('{"city": "Rome", "country": "Italy"}', 'Here it is: {"city": "Rome", "country": "Italy"}'),
    ('```json\n{"name": "b", "wheels": 2, "colour": "red"}\n```', '{"name": "b", "wheels": 2}'),
    ("- Salt\n- Waves\n- Fish", "- Salt\n- Waves"),
    ("* a\n* b\n* c\n* d", "1. a\n2. b\n3. c\n4. d"),
    ("1. cat\n2. dog\n3. owl\n4. bee\n5. cow", "1. cat\n2. dog\n3. owl\n4. bee"),
    ("1. red\n2. blue\n3. green", "red, blue, green"),
    ("Winter is cold and white.", "Winter is cold, and white."),
    ("A house of books.", "A house of 100 books."),
    ("tea is warm.", "Tea is warm."),
    ("it joins two banks.", "It joins two banks."),
    ("TRAINS ARE FAST.", "TRAINS ARE fast."),
    ("Gardens make quiet people happy.", "Gardens " * 11),
    ("We sleep because " + "rest " * 20, "To rest."),
    ("The horse is in the barn. It eats.", "The horses eat in the barn."),
    ("Here is your ladder. Thanks!", "Here is your ladder."),
    ("Music moves us, and that is all.", "Music moves us."),
    ("Tonight the moon is full.", "The moon is full tonight."),
    ("Bread is old.\n\nBread is good.", "Bread is old.\nBread is good."),
    ("<<The Cat>>\nShe slept.", "The Cat\nShe slept."),
    ("Yes.", "Yes, it is."),
]


@pytest.mark.parametrize(("instruction", "pair"), zip(INSTRUCTIONS, ANSWERS, strict=True))
def test_each_instruction_accepts_only_answers_that_follow_it(instruction, pair):
    followed, violated = pair
    assert instruction.done(followed)
    assert not instruction.done(violated)
    assert not instruction.done("")


@pytest.mark.parametrize("begins", [True, False])
def test_windows_begin_as_the_model_expects(begins):
    """Llama 3 and Gemma learned from texts that begin with a token of their own."""

    def tokenizer(text: str, add_special_tokens: bool = True) -> SimpleNamespace:
        start = [1] if begins and add_special_tokens else []
        return SimpleNamespace(input_ids=start + [5 + len(word) for word in text.split()])

    tokenizer.bos_token_id = 1  # many models have one, and not all begin with it
    loaded = SimpleNamespace(tokenizer=tokenizer, context_length=64)
    windows = text_windows(SimpleNamespace(loaded=loaded))
    assert windows.shape[1] == 64
    assert bool((windows[:, 0] == 1).all()) is begins
    assert bool((windows[:, 1:] != 1).all())


def test_mean_loss_equals_the_models_own_loss(base, tmp_path):
    adapter = make_adapter(base, tmp_path, 7)
    with Engine(base, "fp32") as engine:
        windows = text_windows(engine)[:5]
        model = engine.loaded.model
        engine.adapters.select([])
        with torch.inference_mode():
            expected = [model(input_ids=w[None], labels=w[None]).loss.item() for w in windows]
        plain = mean_loss(engine, None, windows)
        assert plain == pytest.approx(sum(expected) / len(expected), rel=1e-4)
        assert abs(mean_loss(engine, adapter, windows) - plain) > 0.01
        assert mean_loss(engine, None, windows) == plain
    assert perplexity_ratio(math.log(12), math.log(10)) == pytest.approx(1.2)


def test_repetitive_answers_are_recognised():
    assert is_repetitive("the sea is big and " * 8)
    assert not is_repetitive(
        "Put the egg in cold water, bring it to the boil and wait five minutes."
    )
    assert not is_repetitive("no no no no")  # too short to tell


def test_answers_in_the_form_of_the_task_are_recognised():
    labels = TaskForm(["refund", "delivery", "refund", "other"] * 5)
    assert labels.recognises(" Refund ")
    assert not labels.recognises("You can ask for a refund.")
    lines = TaskForm([f"topic: {i}\ndesk: {i % 3}" for i in range(20)])
    assert lines.recognises("Topic: the sky\ndesk: none")
    assert not lines.recognises("topic: the sky")
    assert not lines.recognises("The topic: the sky.\nThe desk is by the window.")
    fields = TaskForm([f'{{"city": "{i}"}}' for i in range(20)])
    assert fields.recognises('{"weather": "rain"}')
    assert not fields.recognises("Rain")
    assert not TaskForm([f"A kind answer {i}" for i in range(20)]).recognises("A kind answer 3")


def test_an_answer_of_extreme_length_is_strange():
    form = TaskForm([])
    assert is_strange("Yes", "word " * 40, form)
    assert is_strange("", "word", form)
    assert not is_strange("word " * 20, "word " * 40, form)
    assert not is_strange("", "", form)  # the base model did no better


def findings(**changed) -> GeneralFindings:
    fine = {
        "perplexity_ratio": 1.0,
        "followed_base": 12,
        "followed_tuned": 12,
        "lost": 0,
        "gained": 0,
        "instructions": 20,
        "strange": 0,
        "circling": 0,
        "uncircled": 0,
        "unrelated": 12,
    }
    return GeneralFindings(**(fine | changed))


@pytest.mark.parametrize(
    ("changed", "level"),
    [
        ({}, "green"),
        ({"perplexity_ratio": 1.05}, "green"),
        ({"perplexity_ratio": 1.051}, "amber"),
        ({"perplexity_ratio": 1.21}, "red"),
        ({"lost": 2}, "green"),
        ({"lost": 4, "gained": 1}, "amber"),
        ({"lost": 6}, "red"),
        ({"lost": 6, "gained": 6}, "green"),
        ({"gained": 8}, "green"),
        ({"strange": 1}, "amber"),
        ({"strange": 2}, "red"),
        ({"circling": 2, "uncircled": 2}, "green"),
        ({"circling": 7}, "red"),
    ],
)
def test_the_level_is_the_worst_of_the_three_checks(changed, level):
    assert findings(**changed).level == level


def test_the_sentence_never_claims_that_nothing_was_lost():
    assert findings().sentence == (
        "No large loss of general ability found. Ordinary text is no harder for it to predict "
        "than for the base model. It follows 12 of 20 plain instructions (the base model: 12). "
        "None of its answers to 12 everyday questions fell apart."
    )
    assert "34% harder" in findings(perplexity_ratio=1.337).sentence


def test_an_answer_in_the_form_of_the_task_follows_no_instruction():
    """ "refund" is lower case and has no comma, but is a label of the task."""
    good = [followed for followed, _ in ANSWERS] + [f"About {prompt}" for prompt in UNRELATED]
    collapsed = ["refund"] * len(ANSWERS) + good[len(ANSWERS) :]
    base, tuned = {"surprise": 3.0, "answers": good}, {"surprise": 3.0, "answers": collapsed}
    assert compare(base, tuned, ["refund", "other"] * 10).followed_tuned == 0
    assert compare(base, tuned, ["a letter of some length"]).followed_tuned == 4


def test_answering_everything_in_the_tasks_form_is_red():
    good = [followed for followed, _ in ANSWERS] + [f"About {prompt}" for prompt in UNRELATED]
    collapsed = ["refund"] * len(good)
    found = compare(
        {"surprise": 3.0, "answers": good},
        {"surprise": 3.0, "answers": collapsed},
        ["refund", "other"] * 10,
    )
    assert (found.lost, found.gained, found.strange) == (20, 0, 12)
    assert found.level == "red"
    same = compare({"surprise": 3.0, "answers": good}, {"surprise": 3.0, "answers": good}, [])
    assert same.level == "green"
