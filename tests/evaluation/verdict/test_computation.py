"""The verdict and its sentences follow from the numbers."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.verdicts import false_alarms, false_alarms_over_looks, power_at
from finetune_app.evaluation.verdict.computation import compute_verdict
from finetune_app.evaluation.verdict.limits import (
    ALPHA,
    FIRST_LOOK,
    FIRST_LOOK_AT_TRIVIAL,
    spent_at,
)
from finetune_app.evaluation.verdict.types import PairedOutcome, Verdict

RANK = {
    "worse": 0,
    "no_difference": 1,
    "too_few_to_tell": 1,
    "better_on_average": 2,
    "consistently_better": 3,
}


def outcomes(wins: int, ties: int, losses: int) -> list[PairedOutcome]:
    return [PairedOutcome(1)] * wins + [PairedOutcome(0)] * ties + [PairedOutcome(-1)] * losses


def verdict(wins: int, ties: int, losses: int, general: str | None = "green", **more) -> Verdict:
    return compute_verdict(outcomes(wins, ties, losses), general, **more)


def test_many_more_wins_are_consistently_better():
    result = verdict(41, 12, 7)
    assert result.level == "consistently_better"
    assert result.headline == "Yes, consistently better."
    assert result.sentence == (
        "On 60 prompts it had never seen, the tuned model did better than the "
        "base model on 41, the same on 12, and worse on 7."
    )
    assert result.rarity == (
        "If there were no real difference, a split this lopsided would be very "
        "rare: about once in 1.6 million tries."
    )
    assert result.notes == ("General ability: no large loss found.",)
    assert result.interval.low > 0.5


@pytest.mark.parametrize(
    ("split", "level"),
    [
        ((6, 0, 0), "consistently_better"),
        ((5, 0, 0), "too_few_to_tell"),
        ((40, 8, 12), "consistently_better"),
        ((40, 7, 13), "better_on_average"),
        ((12, 40, 8), "too_few_to_tell"),
        ((0, 60, 0), "too_few_to_tell"),
        ((0, 100, 0), "no_difference"),
        ((1, 298, 1), "no_difference"),
        ((300, 0, 290), "too_few_to_tell"),
        ((7, 12, 41), "worse"),
        ((0, 0, 0), "too_few_to_tell"),
    ],
)
def test_wins_ties_and_losses_determine_the_level(split, level):
    assert verdict(*split).level == level


def test_better_on_average_counts_what_got_worse():
    result = verdict(30, 15, 15)
    assert result.headline == "Better on average, not consistently."
    assert result.sentence.endswith("It wins more than it loses, but gets worse on 1 in 4.")
    assert "about 1 in 4" in verdict(31, 14, 16).sentence


def test_too_few_to_tell_says_how_many_more_are_needed():
    result = verdict(12, 0, 8)
    assert result.more_prompts_needed == 240
    assert result.sentence.endswith(
        "12 to 8 could be chance. About 240 more prompts would settle a difference this size."
    )
    assert "thousands of prompts" in verdict(300, 0, 290).sentence
    assert verdict(300, 0, 290).more_prompts_needed is None
    assert "could hide in so few" in verdict(0, 5, 0).sentence
    assert verdict(0, 0, 0).headline == "Nothing to compare yet."


def test_no_difference_and_worse_are_stated():
    assert verdict(1, 298, 1).headline == "No real difference."
    assert verdict(1, 298, 1).sentence.endswith("A real difference is probably at most 2 in 100.")
    assert verdict(7, 12, 41).headline == "No, it is worse than the base model."


def test_the_general_check_changes_the_headline():
    unchecked = verdict(41, 12, 7, None)
    assert unchecked.headline == "Better at your task; general ability not checked yet."
    assert unchecked.level == "consistently_better"
    red = verdict(41, 12, 7, "red")
    assert red.level == "better_on_average"
    assert red.headline == "Better at your task, but it lost general ability."
    assert any("may have been lost" in note for note in verdict(41, 12, 7, "amber").notes)
    assert verdict(7, 12, 41, None).headline == verdict(7, 12, 41).headline
    with pytest.raises(ValueError, match="general level"):
        verdict(1, 1, 1, "blue")


def test_each_look_at_the_same_prompts_asks_for_a_rarer_difference():
    """22 to 8: once in 62 tries by chance."""
    assert verdict(22, 30, 8, looks=1).level == "consistently_better"
    assert verdict(22, 30, 8, looks=2).level == "consistently_better"  # up to once in 40
    seen_often = verdict(22, 30, 8, looks=3)  # up to once in 120
    assert seen_often.level == "too_few_to_tell"
    assert seen_often.headline == "Perhaps better: fresh prompts would tell."
    assert seen_often.sentence.endswith(
        "At a first look that would be enough; at look 3 it could be luck. "
        "About 88 fresh prompts would settle it."
    )
    assert verdict(41, 12, 7, looks=10).level == "consistently_better"  # once in 1.6 million
    assert verdict(8, 30, 22, looks=3).headline == "Too few to tell."


def test_looks_are_mentioned_from_the_second_on():
    assert not any("been seen" in note for note in verdict(41, 12, 7, looks=1).notes)
    notes = verdict(41, 12, 7, looks=3).notes
    assert (
        "Results on these prompts have been seen 3 times. Each look is a new chance for luck, so a "
        "difference now counts only if luck alone brings it at most once in 120 tries. With fresh "
        "prompts once in 20 is enough." in notes
    )


def test_a_trivial_answer_has_to_be_beaten_by_more_at_each_look():
    results = {"repeat": outcomes(19, 33, 8)}  # once in 38 tries by chance, one-sided
    assert verdict(41, 12, 7, looks=1, trivial_results=results).better
    later = verdict(41, 12, 7, looks=2, trivial_results=results)
    assert (
        later.headline == "Better than the base model, but perhaps not than repeating the question."
    )


def test_all_looks_together_take_no_more_error_than_one_may():
    for first in (FIRST_LOOK, FIRST_LOOK_AT_TRIVIAL):
        spent = [spent_at(look, first) for look in range(1, 10_000)]
        assert spent == sorted(spent, reverse=True)
        assert 0.0499 < sum(spent) <= ALPHA


@pytest.mark.parametrize("prompts", [20, 60, 200])
@pytest.mark.parametrize("judged_by", ["pass or fail", "votes", "a judge"])
def test_ten_tested_models_give_no_more_false_alarms_than_one_may(prompts, judged_by):
    alarms = false_alarms_over_looks(prompts, 10, judged_by=judged_by, goals=2_000, seed=17)
    assert alarms <= 0.05


@pytest.mark.parametrize(
    ("against_prompt", "versus", "start"),
    [
        ((30, 20, 10), "better", "It also beats the base model with a good prompt"),
        (
            (10, 280, 10),
            "not_better",
            "Your tuned model is not better than the base model with a good prompt",
        ),
        ((10, 40, 10), "unclear", "Whether it beats the base model with a good prompt"),
        ((0, 20, 0), "unclear", "Whether it beats the base model with a good prompt"),
        ((4, 20, 36), "not_better", "Your tuned model is not better"),
        ((1, 299, 0), "not_better", "Your tuned model is not better"),
        ((12, 40, 8), "unclear", "Whether it beats the base model with a good prompt"),
    ],
)
def test_the_comparison_with_a_good_prompt_comes_first(against_prompt, versus, start):
    result = verdict(41, 12, 7, prompt_result=outcomes(*against_prompt))
    assert result.versus_prompt == versus
    assert result.notes[0].startswith(start)
    as_good = "Better than the base model, but a good prompt does at least as well."
    assert result.headline == (as_good if versus == "not_better" else "Yes, consistently better.")


@pytest.mark.parametrize(("wrong", "is_noted"), [(59, True), (36, False), (None, False)])
def test_a_better_model_that_is_mostly_wrong_is_called_wrong(wrong, is_noted):
    sentence = verdict(12, 60, 0, wrong=wrong).sentence
    assert sentence.endswith("But it is still wrong on 59 of 72.") is is_noted


def test_blind_choices_have_their_own_sentence():
    counted = [PairedOutcome(sign) for sign in (1, -1, 0, 0, 1)]
    assert compute_verdict(counted, voted=True).sentence.startswith(
        "Not knowing which was which, you preferred the tuned model on 2 of 5"
    )


def test_answers_from_one_thread_count_as_one():
    result = compute_verdict([PairedOutcome(1, group="thread 1")] * 10)
    assert result.level == "too_few_to_tell"
    assert any("Fewer than 6" in note for note in result.notes)


def test_passes_and_scores_become_wins_ties_and_losses():
    signs = [
        PairedOutcome.of_passes(base, tuned).sign
        for base in (False, True)
        for tuned in (False, True)
    ]
    assert signs == [0, 1, -1, 0]
    assert PairedOutcome.of_scores(0.50, 0.505).sign == 0
    assert PairedOutcome.of_scores(0.5, 0.7).sign == 1
    with pytest.raises(ValueError, match="finite"):
        PairedOutcome.of_scores(0.5, float("nan"))


def test_many_small_wins_do_not_hide_a_few_large_losses():
    small, large = PairedOutcome.of_scores(0.5, 0.52), PairedOutcome.of_scores(1.0, 0.0)
    result = compute_verdict([small] * 50 + [large] * 10, "green")
    assert result.level == "too_few_to_tell"
    assert result.headline == "Mixed: no clear answer."
    assert result.more_prompts_needed is None
    assert "could be chance" not in result.sentence
    assert any("further in the other" in note for note in result.notes)
    steady = compute_verdict([PairedOutcome.of_scores(0.4, 0.6)] * 30, "green")
    assert steady.level == "consistently_better"
    assert steady.mean_gain == pytest.approx((0.2, 0.2))


counts = st.integers(0, 60)
general_levels = st.sampled_from([None, "green", "amber", "red"])


@settings(deadline=None)
@given(counts, counts, counts, general_levels, st.integers(0, 9))
def test_any_split_gets_a_verdict_in_complete_sentences(wins, ties, losses, general, looks):
    result = verdict(wins, ties, losses, general, looks=looks)
    assert (result.wins, result.ties, result.losses) == (wins, ties, losses)
    assert result.level in RANK
    for text in (result.headline, result.sentence, result.rarity, *result.notes):
        assert text.endswith(".")
        assert not [word for word in ("None", "nan", "!") if word in text]
    assert 0 < result.p_value <= 1


@settings(deadline=None)
@given(counts, counts, counts, general_levels)
def test_one_more_win_never_lowers_the_level(wins, ties, losses, general):
    before = RANK[verdict(wins, ties, losses, general).level]
    assert RANK[verdict(wins + 1, ties, losses, general).level] >= before
    if losses:
        assert RANK[verdict(wins + 1, ties, losses - 1, general).level] >= before
    if ties:
        assert RANK[verdict(wins + 1, ties - 1, losses, general).level] >= before


@settings(deadline=None)
@given(counts, counts, counts)
def test_swapping_the_candidates_swaps_the_verdict(wins, ties, losses):
    there, back = verdict(wins, ties, losses), verdict(losses, ties, wins)
    assert there.p_value == back.p_value
    assert there.better == (back.level == "worse")
    if not there.better and there.level != "worse":
        assert there.level == back.level
    assert there.more_prompts_needed == back.more_prompts_needed


pairs = st.lists(
    st.tuples(st.floats(0, 1), st.floats(0, 1), st.sampled_from([None, "a", "b", 3])), max_size=25
)


@settings(max_examples=40, deadline=None)
@given(pairs, general_levels)
def test_graded_scores_swap_too_and_more_is_never_worse(rows, general):
    there = compute_verdict([PairedOutcome.of_scores(*row) for row in rows], general)
    back = compute_verdict(
        [PairedOutcome.of_scores(tuned, base, group) for base, tuned, group in rows], general
    )
    assert there.better == (back.level == "worse")
    if rows:
        (base, _, group), *rest = rows
        lifted = [(base, max(1.0, base), group), *rest]
        after = compute_verdict([PairedOutcome.of_scores(*row) for row in lifted], general)
        assert RANK[after.level] >= RANK[there.level]


def test_levels_are_decided_on_groups():
    threads = [PairedOutcome(1, None, thread) for thread in range(3) for _ in range(10)]
    assert compute_verdict(threads, "green").level == "too_few_to_tell"
    assert compute_verdict([replace(row, group=None) for row in threads], "green").level == (
        "consistently_better"
    )


@pytest.mark.parametrize("prompts", [20, 60, 200])
@pytest.mark.parametrize("tie_rate", [0.0, 0.3, 0.6, 0.9])
def test_no_difference_is_called_better_in_at_most_one_of_twenty(prompts, tie_rate):
    assert false_alarms(prompts, tie_rate, evaluations=1_000, seed=17) <= 0.05


@pytest.mark.parametrize("prompts", [20, 35, 60])
@pytest.mark.parametrize("tie_rate", [0.0, 0.3])
def test_power_agrees_with_theory(prompts, tie_rate):
    seen, theory = power_at(prompts, tie_rate, win_rate=0.75, evaluations=4_000, seed=17)
    assert seen == pytest.approx(theory, abs=0.03)


def test_prompts_that_share_a_source_do_not_raise_false_alarms():
    """60 prompts from 15 correlated sources: counted singly, chance looks like evidence."""
    grouped = false_alarms(60, 0.3, evaluations=1_000, seed=17, sources=15)
    ignored = false_alarms(60, 0.3, evaluations=1_000, seed=17, sources=15, ignore_sources=True)
    assert grouped <= 0.05 < ignored


def test_without_training_nothing_can_be_forgotten():
    wins = [PairedOutcome(1)] * 20
    verdict = compute_verdict(wins, "unchanged", ours="the model with your documents")
    assert verdict.headline == "Yes, consistently better."
    assert "the model with your documents did better" in verdict.sentence
    assert not any("General ability" in note for note in verdict.notes)
