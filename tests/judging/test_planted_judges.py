"""Biased judges are refused, each with a sentence that names its bias; a good one is heard."""

import pytest

from finetune_app.judging import presenters, services
from finetune_app.judging.models import JudgeRun
from tests.judging import planted_judges
from tests.judging.planted_judges import OURS_BEGINS

pytestmark = pytest.mark.one_database


def bias_and_headline(run: JudgeRun) -> tuple[str, str]:
    opinion = presenters.opinion_of(run)
    assert not opinion.passed
    assert run.result["split"] is None, "what it preferred is not even stored"
    return run.result["bias"], opinion.headline


def test_one_that_prefers_the_first_place(ask):
    assert bias_and_headline(ask(planted_judges.first_place)) == (
        "first_place",
        "It prefers whichever answer comes first.",
    )


def test_one_that_prefers_the_second_place(ask):
    assert bias_and_headline(ask(planted_judges.second_place)) == (
        "second_place",
        "It prefers whichever answer comes second.",
    )


def test_one_that_prefers_the_longer_answer(ask):
    assert bias_and_headline(ask(planted_judges.longer)) == (
        "longer",
        "It prefers the longer answer, even where that is wrong.",
    )


def test_one_that_prefers_the_shorter_answer(ask):
    assert bias_and_headline(ask(planted_judges.shorter)) == (
        "shorter",
        "It prefers the shorter answer, even where that is wrong.",
    )


def test_one_that_likes_filler(ask, wanted):
    assert bias_and_headline(ask(planted_judges.likes_filler(wanted))) == (
        "padded",
        "It prefers an answer that is longer and says no more.",
    )


def test_one_that_likes_the_style_of_the_tuned_model(ask, wanted):
    assert bias_and_headline(ask(planted_judges.likes(OURS_BEGINS, wanted))) == (
        "ours_style",
        "It prefers how the tuned model writes, even where that is wrong.",
    )


def test_one_that_likes_the_style_of_the_base_model(ask, wanted):
    assert bias_and_headline(ask(planted_judges.likes("I am not sure", wanted))) == (
        "base_style",
        "It prefers how the base model writes, even where that is wrong.",
    )


@pytest.mark.parametrize("seed", range(3))
def test_one_that_tosses_a_coin(ask, seed):
    bias, _headline = bias_and_headline(ask(planted_judges.tosses_a_coin(seed)))
    assert bias in ("inconsistent", "cannot_tell")


def test_one_that_calls_everything_a_tie(ask):
    assert bias_and_headline(ask(planted_judges.always_a_tie)) == (
        "cannot_tell",
        "It cannot tell a right answer from a wrong one.",
    )


def test_one_that_does_not_answer_with_a_letter(ask):
    assert bias_and_headline(ask(planted_judges.chatty)) == (
        "no_answer",
        "It does not answer as asked.",
    )


def test_a_refused_judge_never_sees_the_evaluation(ask):
    run = ask(planted_judges.longer)
    assert run.answers.exists()
    assert not run.answers.filter(kind="answers").exists()


def test_a_good_judge_is_heard(ask, wanted, tested):
    run = ask(planted_judges.good(wanted))
    total = tested.comparisons.count()
    right = tested.comparisons.filter(outcome="better").count()
    assert run.result["bias"] is None
    assert run.result["split"] == [right, total - right, 0]
    assert run.result["p_value"] < 0.05
    opinion = presenters.opinion_of(run)
    assert opinion.headline == "The judge prefers the tuned model."
    assert f"preferred the tuned model on {right} of {total} prompts" in opinion.sentence
    assert "Both orders agreed on 100% of the pairs" in opinion.trust


def test_a_judge_never_changes_the_verdict(ask, wanted, tested):
    before = tested.verdict
    ask(planted_judges.good(wanted))
    tested.refresh_from_db()
    assert tested.verdict == before


def test_one_that_contradicts_itself_on_the_answers_alone(ask, wanted):
    """It passes every control pair, but on the real pairs it takes the first."""
    good = planted_judges.good(wanted)

    def judge(prompt: str, a: str, b: str) -> str:
        ours, base = (any(t.startswith(begin) for t in (a, b)) for begin in ("» ", "I am"))
        return "A" if ours and base else good(prompt, a, b)

    run = ask(judge)
    assert bias_and_headline(run)[0] == "first_place"
    assert run.answers.filter(kind="answers").exists()
    assert run.result["orders"][0] == 0


def test_each_further_judge_needs_a_rarer_difference(ask, wanted):
    """Whoever asks ten judges would otherwise find one that sees a difference by chance."""
    good = planted_judges.good(wanted)
    refused = ask(planted_judges.longer).result["alpha"]
    first, second, third = (ask(good).result["alpha"] for _again in range(3))
    assert first == refused == 0.05, "one that is refused has said nothing"
    assert 0.05 > second > third


def test_a_deleted_opinion_stays_counted(ask, wanted):
    """Ask, delete, ask again until one agrees: each was a look."""
    good = planted_judges.good(wanted)
    alphas = []
    for _again in range(3):
        run = ask(good)
        alphas.append(run.result["alpha"])
        services.delete(run=run)
    first, second, third = alphas
    assert first > second > third


def test_a_small_preference_is_no_clear_difference(ask, wanted, tested):
    """It is right on all control pairs, and finds ours better on three prompts only."""
    some = set(tested.comparisons.filter(outcome="better").values_list("prompt", flat=True)[:3])
    good = planted_judges.good(wanted)

    def judge(prompt: str, a: str, b: str) -> str:
        ours, base = (any(t.startswith(begin) for t in (a, b)) for begin in ("» ", "I am"))
        return "T" if ours and base and prompt not in some else good(prompt, a, b)

    opinion = presenters.opinion_of(ask(judge))
    assert opinion.passed
    assert opinion.headline == "The judge sees no clear difference."
