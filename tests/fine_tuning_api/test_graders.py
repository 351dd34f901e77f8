"""POST /v1/fine_tuning/alpha/graders/run and /validate, through OpenAI's own client."""

import contextlib

import httpx
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from finetune_app.fine_tuning_api.graders.schemas import parse_grader
from finetune_app.fine_tuning_api.graders.templates import (
    MAX_TEXT_CHARACTERS,
    InvalidTemplate,
    parse_template,
)
from finetune_app.gateway.errors import ApiError

ANSWER = '{"label": "repair", "tags": ["bike", "brake"], "days": 3}'
ITEM = {"label": "Repair", "text": "The brake squeaks", "nested": {"days": [3, 4]}}


def string_check(text="{{ sample.output_text }}", reference="x", operation="eq", **more):
    return {
        "type": "string_check",
        "name": "check",
        "input": text,
        "reference": reference,
        "operation": operation,
    } | more


def similarity(metric: str, text="{{ sample.output_text }}", reference="{{item.text}}"):
    return {
        "type": "text_similarity",
        "name": "alike",
        "input": text,
        "reference": reference,
        "evaluation_metric": metric,
    }


def multi(formula: str, **graders: dict) -> dict:
    return {"type": "multi", "name": "all", "graders": graders, "calculate_output": formula}


@pytest.fixture
def run(client):
    def ask(grader: dict, sample: str = ANSWER, item: object = ITEM):
        return client.fine_tuning.alpha.graders.run(grader=grader, model_sample=sample, item=item)

    return ask


@pytest.fixture
def refusal(client):
    """The error of a grader, which both routes refuse in the same way."""

    def ask(grader: object) -> openai.BadRequestError:
        graders = client.fine_tuning.alpha.graders
        with pytest.raises(openai.BadRequestError) as of_run:
            graders.run(grader=grader, model_sample=ANSWER)
        with pytest.raises(openai.BadRequestError) as refused:
            graders.validate(grader=grader)
        assert of_run.value.message == refused.value.message
        return refused.value

    return ask


@pytest.mark.parametrize(
    ("operation", "reference", "reward"),
    [
        ("eq", "repair", 1),
        ("eq", "Repair", 0),
        ("ne", "Repair", 1),
        ("ne", "repair", 0),
        ("like", "pair", 1),
        ("like", "PAIR", 0),
        ("ilike", "PAIR", 1),
        ("ilike", "paint", 0),
    ],
)
def test_a_string_check_compares_two_texts(run, operation, reference, reward):
    found = run(string_check("{{ sample.output_json.label }}", reference, operation))
    assert found.reward == reward
    assert (found.metadata.name, found.metadata.type) == ("check", "string_check")
    assert not any(found.metadata.errors.model_dump().values())
    assert found.metadata.execution_time >= 0
    assert found.sub_rewards == {}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{item.label}}", "Repair"),
        ("{{ item.nested.days[1] }}", "4"),
        ("{{ item.nested.days.1 }}", "4"),
        ("{{item.nested}}", '{"days": [3, 4]}'),
        ("{{ sample.output_json.tags[0] }} and {{sample.output_json.tags[1]}}", "bike and brake"),
        ("{{sample.output_text}}", ANSWER),
        ("no variable, {only} {{item.label}}s", "no variable, {only} Repairs"),
        ("", ""),
    ],
)
def test_variables_are_those_of_the_item_and_of_the_answer(run, template, text):
    assert run(string_check(template, text)).reward == 1


def test_an_answer_that_is_no_json_has_no_output_json(run):
    found = run(string_check("{{sample.output_json.label}}", "repair"), sample="repair")
    assert found.reward == 0
    assert found.metadata.errors.sample_parse_error


@pytest.mark.parametrize("name", ["item.price", "item.label.more", "sample.output_json.tags[9]"])
def test_a_variable_that_is_not_there_is_an_error_of_the_run(run, name):
    found = run(string_check("{{" + name + "}}"))
    assert found.reward == 0
    assert found.metadata.errors.invalid_variable_error


def test_similarity_is_one_for_the_same_text_and_less_for_another(run):
    metrics = ["fuzzy_match", "bleu", "gleu", *(f"rouge_{n}" for n in (1, 2, 3, 4, 5, "l"))]
    same = "the brake of my bike squeaks in the rain"
    for metric in metrics:
        alike, near, other = (
            run(similarity(metric), sample=text, item={"text": same}).reward
            for text in (same, "the brake of my bike squeaks in sunshine", "Hello!")
        )
        assert alike == pytest.approx(1), metric
        assert 0 <= other < near < 1, metric


def test_a_multi_grader_computes_its_reward_from_the_others(run):
    label = string_check("{{sample.output_json.label}}", "{{item.label}}", "ilike")
    text = similarity("fuzzy_match", "abcd", "abxx")
    found = run(multi("(3 * label + min(text, 1)) / 4", label=label, text=text))
    assert found.sub_rewards == {"label": 1, "text": 0.5}
    assert found.reward == 3.5 / 4
    assert found.metadata.type == "multi"


def test_a_multi_grader_may_have_one_grader_as_the_reference_says(run):
    grader = multi("2 * check") | {"graders": string_check("a", "a")}
    assert run(grader).reward == 2


def test_a_division_by_zero_is_an_error_of_the_run(run):
    found = run(multi("1 / check", check=string_check("a", "b")))
    assert found.reward == 0
    assert found.metadata.errors.formula_parse_error


def test_an_error_of_one_grader_is_one_of_all(run):
    broken = string_check("{{item.price}}")
    found = run(multi("a + b", a=broken, b=string_check("x", "x")))
    assert (found.reward, found.sub_rewards) == (0, {"a": 0, "b": 1})
    assert found.metadata.errors.invalid_variable_error


def test_a_valid_grader_comes_back_as_it_is(client):
    for grader in (
        string_check(),
        similarity("bleu"),
        multi("a", a=string_check()),
    ):
        found = client.fine_tuning.alpha.graders.validate(grader=grader)
        assert found.grader.model_dump(exclude_unset=True) == grader


@pytest.mark.parametrize(
    ("grader", "param", "why"),
    [
        ({"type": "python", "name": "x", "source": "1", "image_tag": "3"}, "type", "runs no code"),
        ({"type": "score_model", "name": "x", "model": "y", "input": []}, "type", "asks no model"),
        (similarity("meteor"), "evaluation_metric", "WordNet"),
        (similarity("cosine"), "evaluation_metric", "/v1/embeddings"),
    ],
)
def test_what_is_not_done_here_is_refused_in_words(refusal, grader, param, why):
    refused = refusal(grader)
    assert (refused.param, refused.code) == (param, "unsupported_value")
    assert why in refused.message


@pytest.mark.parametrize(
    ("grader", "param"),
    [
        ("eq", "grader"),
        ({"type": "magic", "name": "x"}, "type"),
        (string_check(operation="same"), "operation"),
        (string_check(text=None), "input"),
        (string_check(name=""), "name"),
        (string_check(pass_threshold=0.5), "pass_threshold"),
        (string_check("{{ secrets.key }}"), "input"),
        (string_check("{{ item }}"), "input"),
        (string_check("{{ item.a | upper }}"), "input"),
        (string_check("{{ sample.choices }}"), "input"),
        (similarity("rouge_6"), "evaluation_metric"),
        (multi("a", **{"a-b": string_check()}), "graders"),
        (multi("a"), "graders"),
        (multi("a", a=multi("b", b=string_check())), "type"),
        (multi("b", a=string_check()), "calculate_output"),
    ],
)
def test_an_invalid_grader_is_refused_by_name(refusal, grader, param):
    assert refusal(grader).param == param


def test_a_text_that_grows_too_long_is_refused(run):
    twice = string_check("{{sample.output_text}}{{sample.output_text}}")
    with pytest.raises(openai.BadRequestError, match="longer than 50,000"):
        run(twice, sample="x" * (MAX_TEXT_CHARACTERS // 2 + 1))


def test_other_methods_and_keys_are_refused(client, address):
    url = f"{address}/fine_tuning/alpha/graders/run"
    headers = {"Authorization": f"Bearer {client.api_key}"}
    assert httpx.get(url, headers=headers).status_code == 405
    assert httpx.post(url, json={}).status_code == 401


JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=12),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=8), inner),
    max_leaves=6,
)
FIELDS = some.sampled_from(
    ["type", "name", "input", "reference", "operation", "graders", "calculate_output"]
)


@settings(suppress_health_check=[HealthCheck.too_slow])  # as a busy machine is
@given(changed=some.dictionaries(FIELDS, JSON, min_size=1, max_size=3), base=some.booleans())
def test_any_grader_is_understood_or_refused(changed, base):
    usual = string_check() if base else multi("a", a=string_check())
    with contextlib.suppress(ApiError):
        parse_grader(usual | changed)


@given(text=some.text(alphabet="{}itemsaplou. _[]01x-"))
def test_any_template_is_understood_or_refused(text):
    with contextlib.suppress(InvalidTemplate):
        parse_template(text)
