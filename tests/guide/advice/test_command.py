"""`manage.py advise`: answers as JSON on standard input, advice as JSON on standard output."""

import io
import json
from types import SimpleNamespace

import pytest
from django.core.management import call_command
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune_app.guide.advice import Answers, AnswersError
from tests.guide.advice.scenarios import SCENARIOS


@pytest.fixture
def ask(monkeypatch, capsys):
    def run(text: str | bytes) -> tuple[int, str, str]:
        """(exit code, output, errors)."""
        given_bytes = text.encode() if isinstance(text, str) else text
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(given_bytes)))
        code = 0
        try:
            call_command("advise")
        except SystemExit as ended:
            code = int(ended.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_advise_prints_the_advice_as_json(ask):
    scenario = next(one for one in SCENARIOS if one["name"] == "funeral_home_voice")
    code, out, err = ask(json.dumps(scenario["answers"]))
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert list(found) == [
        "recommendation",
        "reasons",
        "not_yet",
        "would_change",
        "confidence",
        "sources",
    ]
    assert found["recommendation"] == "collect_pairs"
    assert "You have 28 examples" in found["reasons"][0]["text"]
    assert "about 22 more" in found["reasons"][0]["text"]
    assert found["reasons"][0]["you_said"] == {"pairs": "28 examples"}
    assert {later["method"] for later in found["not_yet"]} == {"prompt", "rag", "fine_tune"}


def test_without_answers_the_advice_is_a_prompt(ask):
    assert json.loads(ask("{}")[1])["recommendation"] == "prompt"
    nulls = dict.fromkeys(Answers().__dict__)
    assert json.loads(ask(json.dumps(nulls))[1])["recommendation"] == "prompt"


@pytest.mark.parametrize(
    ("given_text", "message"),
    [
        ("", "could not be read as JSON"),
        ("{", "could not be read as JSON"),
        (b"\xff\xfe\x00", "could not be read as JSON"),
        ("[" * 100_000, "could not be read as JSON"),
        ('{"pairs": ' + "9" * 5000 + "}", "could not be read as JSON"),
        ("[]", "one JSON object"),
        ('"tone"', "one JSON object"),
        ("null", "one JSON object"),
        ('{"mood": "good"}', "“mood” is none of the questions"),
        ('{"improve": "everything"}', "“improve” is one of facts, tone"),
        ('{"improve": ["tone"]}', "“improve” is one of facts, tone"),
        ('{"facts_change": 3}', "“facts_change” is one of never"),
        ('{"pairs": -1}', "“pairs” is a whole number"),
        ('{"pairs": 2.5}', "“pairs” is a whole number"),
        ('{"pairs": true}', "“pairs” is a whole number"),
        ('{"pairs": "40"}', "“pairs” is a whole number"),
        ('{"pairs": NaN}', "“pairs” is a whole number"),
        ('{"needs_sources": "yes"}', "“needs_sources” is true or false"),
        ('{"heavy_use": 1}', "“heavy_use” is true or false"),
    ],
)
def test_invalid_input_is_reported_in_one_line(ask, given_text, message):
    code, out, err = ask(given_text)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=4,
)
names = st.sampled_from(list(Answers().__dict__)) | st.text(max_size=8)


@settings(max_examples=300, deadline=None)
@given(json_values | st.dictionaries(names, json_values, max_size=4))
def test_any_json_is_read_or_rejected_with_a_sentence(value):
    try:
        answers = Answers.read(value)
    except AnswersError as error:
        if not str(error).endswith("."):
            raise
    else:
        assert answers.as_json() == {k: v for k, v in value.items() if v is not None}
