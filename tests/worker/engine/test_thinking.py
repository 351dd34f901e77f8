"""A thought comes before the answer, within its budget, and is no part of it."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.worker.engine.generation_requests import ask
from tests.worker.engine.tiny_models import make_base
from tests.worker.engine.vllm.conftest import FakeVllm
from tests.worker.thinking_models import make_thinking_base
from worker.channel import UserError
from worker.engine.engine import Engine
from worker.engine.requests import ThoughtText
from worker.engine.sequences import SequenceState
from worker.engine.thought import Thought
from worker.template import load_tokenizer, prompt_token_ids
from worker.thinking import thought_tokens

BUDGET, ANSWER = 9, 12
SCHEMA = json.dumps({"type": "object", "properties": {"n": {"enum": [1, 22]}}, "required": ["n"]})


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    return make_thinking_base(tmp_path_factory.mktemp("thinking"))


@pytest.fixture(scope="session")
def engine(base):
    with Engine(base, "fp32") as engine:
        yield engine


@pytest.fixture(scope="session")
def vllm(base, tmp_path_factory):
    with FakeVllm(tmp_path_factory.mktemp("vllm"), "").open(base) as engine:
        yield engine


def think(text="Hello there", budget=BUDGET, **more):
    return ask(text, max_new_tokens=ANSWER, thought_tokens=budget, **more)


@torch.inference_mode()
def continued(base, token_ids, length):
    """Greedy, by transformers, without a cache."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    ids = list(token_ids)
    for _ in range(length):
        ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(token_ids) :]


@pytest.mark.parametrize("kind", ["llama", "mamba"])
def test_a_thought_without_an_end_is_cut_and_the_answer_follows(tmp_path, kind):
    base = make_thinking_base(tmp_path, kind)
    tokenizer = load_tokenizer(base)
    with Engine(base, "fp32") as engine:
        found, at_once = engine.generate([think(), ask("Hello there", max_new_tokens=ANSWER)])
    prompt = prompt_token_ids(tokenizer, think().messages, thinking=True)
    thought = continued(base, prompt, BUDGET)
    cut = thought_tokens(tokenizer).cut
    answer = continued(base, [*prompt, *thought, *cut], ANSWER)
    assert found.token_ids == [*thought, *cut, *answer]
    assert found.thought == tokenizer.decode(thought, skip_special_tokens=True).strip()
    assert found.text == tokenizer.decode(answer, skip_special_tokens=True)
    assert (found.tokens, found.thought_tokens) == (len(found.token_ids), BUDGET + len(cut))
    assert (at_once.thought, at_once.thought_tokens) == ("", 0)


def written(tokenizer, chosen, budget=BUDGET):
    """What is written where the model chooses an end of the thought (E), of the turn ($), or any
    other token; and why it ended."""
    tokens, end = thought_tokens(tokenizer), tokenizer.eos_token_id
    ids = {".": 5, "E": tokens.end, "$": end}
    names = {5: ".", tokens.end: "E", end: "$"}
    request = think(budget=budget)
    sequence = SequenceState(
        request,
        [1],
        "base",
        request.max_tokens,
        frozenset({end}),
        thought=Thought(budget, tokens, frozenset({end})),
    )
    for token in chosen:
        if not sequence.is_finished:
            sequence.append(ids[token])
    text = "".join(names.get(i, tokenizer.decode([i])) for i in sequence.output_token_ids)
    return text, sequence.finish_reason


def test_a_thought_ends_by_itself_at_its_budget_or_at_an_end_of_turn(base):
    tokenizer = load_tokenizer(base)
    assert written(tokenizer, "..E....$") == ("..E\n\n..$", "stop")
    assert written(tokenizer, "............$", budget=3) == ("...\nE\n\n.....$", "stop")
    assert written(tokenizer, "..$.......$") == ("..\nE\n\n....$", "stop")
    assert written(tokenizer, "..E" + "." * 40)[1] == "length"


def test_an_answer_after_a_thought_has_its_whole_length(engine):
    found = engine.generate([think()])[0]
    assert len(found.token_ids) - found.thought_tokens == ANSWER
    assert found.finish_reason == "length"


def test_thinking_changes_no_other_answer_of_the_batch(engine):
    plain = ask("Second", max_new_tokens=20)
    alone = [engine.generate([one])[0].token_ids for one in (think(), plain)]
    together = engine.generate([think(), plain])
    assert [one.token_ids for one in together] == alone


def test_the_thought_is_streamed_before_the_answer(engine):
    handle = engine.submit(think())
    pieces = list(handle)
    thoughts = [piece for piece in pieces if isinstance(piece, ThoughtText)]
    assert pieces[: len(thoughts)] == thoughts != []
    assert "".join(thoughts).strip() == handle.completion.thought
    assert "".join(pieces[len(thoughts) :]) == handle.completion.text


def test_a_schema_and_logprobs_are_for_the_answer(engine):
    request = think(schema=SCHEMA, top_logprobs=0)
    engine.prepare([request])
    found = engine.generate([request])[0]
    assert json.loads(found.text)["n"] in {1, 22}
    assert found.thought == engine.generate([think()])[0].thought
    assert "".join(one["token"] for one in found.logprobs) == found.text


@pytest.mark.parametrize("more", [{}, {"schema": SCHEMA}, {"top_logprobs": 0}, {"stop": ("e",)}])
def test_vllm_thinks_as_our_own_engine(vllm, engine, more):
    request = think(**more)
    for backend in (vllm, engine):
        backend.prepare([request])
    theirs, ours = vllm.submit(request).result(), engine.generate([request])[0]
    assert (theirs.thought, theirs.text) == (ours.thought, ours.text)
    assert theirs.token_ids == ours.token_ids
    assert theirs.finish_reason == ours.finish_reason
    assert len(theirs.logprobs or ()) == len(ours.logprobs or ())


def test_a_model_that_cannot_think_refuses(tmp_path):
    refuses = pytest.raises(UserError, match="does not think before it answers")
    with Engine(make_base(tmp_path, "llama"), "fp32") as engine, refuses:
        engine.submit(think())
