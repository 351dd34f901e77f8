"""Properties that hold for any answers."""

from dataclasses import fields, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from finetune_app.guide.advice import Answers, Recommend, advise
from finetune_app.guide.advice.decide import decide
from finetune_app.guide.advice.questions import QUESTIONS, quoted
from finetune_app.guide.advice.rules.conditions import FAST_CHANGING
from finetune_app.guide.advice.sources import SOURCES
from tests.guide.advice.scenarios import answers, count

# How close an advice is to training. More examples may never lead further from it.
CLOSER = {
    Recommend.PROMPT: 0,
    Recommend.RAG: 0,
    Recommend.GOOD_ENOUGH: 0,
    Recommend.COLLECT_DOCUMENTS: 0,
    Recommend.COLLECT_PAIRS: 1,  # training, once there are examples
    Recommend.COLLECT_TESTS: 2,  # training, once there are test questions
    Recommend.FINE_TUNE: 3,
    Recommend.RAG_THEN_FINE_TUNE: 3,
}
many = settings(max_examples=400, deadline=None)


@many
@given(answers)
def test_any_answers_get_advice_with_a_reason(given_answers):
    found = advise(given_answers)
    assert found.reasons
    assert found.confidence in ("high", "medium", "low")
    assert set(found.sources) <= set(SOURCES.values())
    assert found.sources
    assert all(text.strip() for text in (r.text for r in found.reasons + found.keep_in_mind))


@many
@given(answers)
def test_training_alone_is_never_for_facts(given_answers):
    about_facts = (
        given_answers.improve == "facts"
        or given_answers.tried_prompt == "lacks_facts"
        or given_answers.facts_change in FAST_CHANGING
        or given_answers.needs_sources is True
    )
    if about_facts:
        decision = decide(given_answers)
        assert decision.recommendation not in (Recommend.FINE_TUNE, Recommend.COLLECT_PAIRS)
        assert decision.method != Recommend.FINE_TUNE


@many
@given(answers, count, count)
def test_more_examples_never_lead_away_from_training(given_answers, one, other):
    fewer, more = (
        decide(replace(given_answers, pairs=n)).recommendation
        for n in (min(one, other), max(one, other))
    )
    assert CLOSER[fewer] <= CLOSER[more]


@many
@given(answers)
def test_only_given_answers_are_quoted(given_answers):
    found = advise(given_answers)
    for reason in found.reasons + found.keep_in_mind:
        for quote in reason.quotes:
            assert getattr(given_answers, quote.question) is not None
            assert quote.words == quoted(quote.question, given_answers)
    as_json = found.as_json()
    quotes = {name for reason in as_json["reasons"] for name in reason["you_said"]}
    assert quotes <= set(given_answers.as_json())


@many
@given(answers)
def test_only_skipped_questions_are_doubts_and_each_would_change_the_advice(given_answers):
    found = advise(given_answers)
    for name in found.doubts:
        assert getattr(given_answers, name) is None
        others = [replace(given_answers, **{name: c.value}) for c in QUESTIONS[name].choices]
        assert any(decide(other).recommendation != found.recommendation for other in others)


@many
@given(answers)
def test_no_method_is_both_advised_and_deferred(given_answers):
    found = advise(given_answers)
    later = [one.method for one in found.not_yet]
    assert found.recommendation not in later
    assert len(later) == len(set(later))


@many
@given(answers)
def test_answers_round_trip_through_json(given_answers):
    assert Answers.read(given_answers.as_json()) == given_answers


@given(st.sampled_from([field.name for field in fields(Answers)]))
def test_every_answer_has_a_question(name):
    question = QUESTIONS[name]
    assert question.title
    assert question.why
    assert len({str(choice.title) for choice in question.choices}) == len(question.choices)
    assert 2 <= len(question.choices) <= 6
