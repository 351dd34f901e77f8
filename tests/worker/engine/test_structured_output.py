"""Answers follow a JSON schema, at any temperature."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import jsonschema
import pytest
import torch

from tests.worker.engine.tiny_models import make_base
from worker.engine import structured_output
from worker.engine.engine import Engine
from worker.engine.requests import GenerationRequest
from worker.engine.structured_output import GrammarCache, UnsupportedSchema


def strict(properties: dict, **more) -> dict:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        **more,
    }


CUSTOMER = strict(
    {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer", "minimum": 18}}
)
SCHEMAS = {
    "words": {"enum": ["refund", "repair", "other"]},
    "label": strict({"label": {"enum": ["late", "broken"]}, "urgent": {"type": "boolean"}}),
    "nested": strict(
        {
            "customer": CUSTOMER,
            "items": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 1, "maxItems": 3},
        }
    ),
    "numbers": {
        "type": "array",
        "items": {"type": "number", "minimum": -1, "maximum": 9.5},
        "minItems": 2,
        "maxItems": 4,
    },
    "either": {"anyOf": [{"type": "null"}, {"type": "string", "pattern": "^[a-z]{2,5}$"}]},
    "chain": {
        "$ref": "#/$defs/link",
        "$defs": {
            "link": strict(
                {
                    "v": {"type": "boolean"},
                    "next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/link"}]},
                }
            )
        },
    },
    "any object": {"type": "object"},
}


def ask(schema: dict | None, prompt="Hello", **options) -> GenerationRequest:
    return GenerationRequest(
        [{"role": "user", "content": prompt}],
        **{"max_new_tokens": 120, "schema": json.dumps(schema) if schema else None} | options,
    )


def assert_follows_schema(engine, schema: dict, answer) -> None:
    """A complete answer is valid; a truncated one is the prefix of a valid one."""
    if answer.finish_reason == "stop":
        jsonschema.validate(json.loads(answer.text), schema)
        return
    assert answer.finish_reason == "length"
    matcher = engine.grammars.grammar(ask(schema)).matcher.deep_copy()
    assert matcher.consume_tokens(answer.token_ids)


@pytest.mark.parametrize("name", SCHEMAS)
def test_sampled_answers_follow_the_schema(engine, name):
    schema = SCHEMAS[name]
    requests = [ask(schema, f"{seed} please", temperature=1.5, seed=seed) for seed in range(8)]
    answers = engine.generate([*requests, ask(schema)])
    for answer in answers:
        assert_follows_schema(engine, schema, answer)
    if name != "words":  # this model prefers one of them
        assert len({answer.text for answer in answers}) > 1
    if name != "any object":  # these end within the token limit
        assert any(answer.finish_reason == "stop" for answer in answers)


def test_each_sequence_of_a_batch_follows_its_own_schema(engine):
    free = [ask(None, prompt, max_new_tokens=40) for prompt in ("a", "b")]
    alone = [answer.token_ids for answer in engine.generate(free)]
    structured = [ask(schema, temperature=1.0) for schema in SCHEMAS.values()]
    answers = engine.generate([free[0], *structured, free[1]])
    assert [answers[0].token_ids, answers[-1].token_ids] == alone
    for schema, answer in zip(SCHEMAS.values(), answers[1:-1], strict=True):
        assert_follows_schema(engine, schema, answer)


def test_a_seed_is_reproducible_with_a_schema(engine):
    sampled = ask(SCHEMAS["nested"], temperature=1.5, seed=3)
    first, second = engine.generate([sampled, sampled])
    assert first.text == second.text


def test_a_token_that_violates_the_schema_is_masked(engine):
    constraint = engine.grammars.constraint(ask({"enum": ["yes", "no"]}))
    allowed_counts = []
    for letter in '"yes"':
        (token,) = engine.loaded.tokenizer(letter, add_special_tokens=False).input_ids
        logits = constraint.mask_logits(torch.zeros(engine.vocabulary.size))
        allowed = {i for i, logit in enumerate(logits.tolist()) if logit == 0}
        assert token in allowed
        assert not allowed & engine.loaded.eos_token_ids
        allowed_counts.append(len(allowed))
        constraint.advance(token)
    assert allowed_counts[0] == 1  # only a quotation mark
    assert allowed_counts[1] == 2  # y or n
    closing = constraint.mask_logits(torch.zeros(engine.vocabulary.size))
    assert {
        i for i, logit in enumerate(closing.tolist()) if logit == 0
    } <= engine.loaded.eos_token_ids


def test_the_generate_decoder_follows_a_schema(tmp_path):
    base = make_base(tmp_path, "mamba")
    with Engine(base, "fp32") as engine:
        requests = [ask(SCHEMAS["label"], temperature=1.5, seed=n) for n in range(3)]
        answers = engine.generate([*requests, ask(None, max_new_tokens=10)])
        for answer in answers[:3]:
            assert_follows_schema(engine, SCHEMAS["label"], answer)
        assert engine.generate([ask(None, max_new_tokens=10)])[0].text == answers[3].text


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        {"not": {"type": "integer"}},
        {"type": "array", "items": {}, "uniqueItems": True},
        {"oneOf": [{"type": "integer"}, {"type": "number"}]},
        {"x-guidance": {"lenient": True, "coerce_one_of": True}, "not": {}},
        {"type": "integer", "minimum": 5, "maximum": 3},
        {"$ref": "#"},
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"$ref": "file:///etc/passwd"},
        {"type": "string", "pattern": "(?=a)b"},
        {
            "allOf": [
                {"anyOf": [{"properties": {f"k{i}": {"const": n}}} for n in (1, 2)]}
                for i in range(16)
            ]
        },
    ],
)
def test_unsupported_schemas_are_rejected_on_submit(engine, schema):
    with pytest.raises(UnsupportedSchema, match="cannot be followed"):
        engine.submit(ask(schema))


def test_a_schema_that_is_not_json_is_rejected(engine):
    with pytest.raises(UnsupportedSchema):
        engine.submit(
            GenerationRequest([{"role": "user", "content": "x"}], schema='{"minimum": NaN}')
        )


def test_a_schema_error_ends_only_its_own_sequence(engine, monkeypatch):
    free = ask(None, max_new_tokens=30)
    alone = engine.generate([free])[0]
    constraint = engine.grammars.constraint

    def fail(token: int) -> None:
        raise UnsupportedSchema("It became too complex.")

    def failing_constraint(request):
        failing = constraint(request)
        if failing:
            failing.advance = fail
        return failing

    monkeypatch.setattr(engine.grammars, "constraint", failing_constraint)
    broken, other = engine.submit(ask(SCHEMAS["label"])), engine.submit(free)
    with pytest.raises(UnsupportedSchema, match="too complex"):
        broken.result()
    assert other.result().token_ids == alone.token_ids


def test_schemas_are_compiled_once_and_the_least_recently_used_is_evicted(engine, monkeypatch):
    compiled = []
    monkeypatch.setattr(structured_output, "MAX_GRAMMARS", 2)
    monkeypatch.setattr(
        structured_output, "_compiled", lambda tokens, text: compiled.append(text) or text
    )
    cache = GrammarCache(engine.vocabulary, None)
    for word in ("a", "b", "a", "c", "a", "b"):
        cache.grammar(ask({"const": word}))
    assert [json.loads(text.removeprefix("start: %json "))["const"] for text in compiled] == [
        *("a", "b", "c", "b")
    ]


# --- While a schema is being compiled ---

SLOW = {"const": "slow"}


@pytest.fixture
def held_compile(monkeypatch):
    """The schema SLOW is not compiled before `finish` is set. `texts`: each time it is begun."""
    held = SimpleNamespace(texts=[], begun=threading.Event(), finish=threading.Event())
    compiled = structured_output._compiled

    def hold(tokens, text):
        if "slow" in text:
            held.texts.append(text)
            held.begun.set()
            assert held.finish.wait(60)
        return compiled(tokens, text)

    monkeypatch.setattr(structured_output, "_compiled", hold)
    with ThreadPoolExecutor(4) as held.threads:
        yield held
        held.finish.set()


def test_other_schemas_do_not_wait_for_one_that_is_being_compiled(engine, held_compile):
    """Neither new ones nor those that were compiled before, from the request to the answer."""
    engine.prepare([ask({"const": "known"})])
    slow = held_compile.threads.submit(engine.prepare, [ask(SLOW)])
    assert held_compile.begun.wait(10)
    others = [ask({"const": "known"}), ask({"const": "new"})]
    answers = held_compile.threads.submit(engine.generate, others)
    assert [one.text for one in answers.result(10)] == ['"known"', '"new"']
    assert not slow.done()


def test_two_requests_of_one_schema_compile_it_once(engine, held_compile):
    cache = GrammarCache(engine.vocabulary, None)
    first = held_compile.threads.submit(cache.grammar, ask(SLOW))
    assert held_compile.begun.wait(10)
    second = held_compile.threads.submit(cache.grammar, ask(SLOW))
    held_compile.finish.set()
    assert first.result(10) is second.result(10)
    assert len(held_compile.texts) == 1


def test_a_schema_that_failed_is_compiled_again(engine, monkeypatch):
    cache, compiled = GrammarCache(engine.vocabulary, None), structured_output._compiled
    monkeypatch.setattr(structured_output, "_compiled", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cache.grammar(ask({"const": "a"}))
    monkeypatch.setattr(structured_output, "_compiled", compiled)
    assert cache.grammar(ask({"const": "a"})).text


def test_a_prepared_request_is_not_compiled_again(engine, monkeypatch):
    """However many schemas came since: its grammar waits with it."""
    [prepared] = engine.prepare([ask({"const": "mine"})])
    monkeypatch.setattr(structured_output, "MAX_GRAMMARS", 1)
    engine.prepare([ask({"const": "another"})])
    monkeypatch.setattr(structured_output, "_compiled", lambda *_: pytest.fail("compiled again"))
    assert engine.generate([prepared])[0].text == '"mine"'
