"""Answers that need no model: what they are, and that an evaluation scores them."""

import json

from finetune_app.goals.measures import get_measure
from tests.evaluation.cheat_goals import NOISE
from worker.evaluation import trivial_baselines
from worker.evaluation.inputs import PromptRow
from worker.evaluation.run import run
from worker.evaluation.trivial_baselines import TrainingRow

EXACT = get_measure("exact", {})
TRAINING = [
    TrainingRow("Where is my parcel with the red bell?", "delivery"),
    TrainingRow("The front brake squeals since Monday.", "repair"),
    TrainingRow("When does my parcel arrive?", "delivery"),
    TrainingRow("I want to send the saddle back.", "return"),
]


def rows(*questions: str, wanted: str = "delivery") -> list[PromptRow]:
    return [
        PromptRow(10 + n, n, [{"role": "user", "content": text}], wanted)
        for n, text in enumerate(questions)
    ]


def answers_to(*questions: str, training=TRAINING, measure=EXACT) -> dict[str, list[str]]:
    return dict(trivial_baselines.trivial_answers(rows(*questions), training, measure))


def test_repeating_the_question_and_the_commonest_answer():
    found = answers_to("Has my bell arrived?", "The saddle is torn.")
    assert found["repeat"] == ["Has my bell arrived?", "The saddle is torn."]
    assert found["commonest"] == ["delivery", "delivery"]


def test_the_constant_that_scores_best_and_the_question_behind_it():
    in_order = get_measure("rouge", {})
    training = [
        TrainingRow(str(n), f"Your {one} is ready at the desk now") for n, one in enumerate(NOISE)
    ]
    found = answers_to("Is my tyre ready?", training=training, measure=in_order)
    assert found["constant"] == ["Your is ready at the desk now"]
    assert found["constant_repeat"] == ["Your is ready at the desk now\nIs my tyre ready?"]


def test_by_a_right_answer_the_commonest_is_the_best_constant():
    found = answers_to("Has my bell arrived?")
    assert not found.keys() & {"constant", "constant_repeat"}


def test_the_nearest_example_by_words_and_by_meaning():
    found = answers_to("My brake squeals again", "Can I return this seat for my money?")
    assert found["nearest_words"][0] == "repair"
    assert found["nearest_meaning"] == ["repair", "return"]


def test_questions_without_words_have_a_nearest_example_too():
    training = [TrainingRow("?!", "question"), TrainingRow("…", "silence")]
    assert answers_to("!!", training=training)["nearest_words"] == ["question"]


def test_without_training_rows_only_the_question_is_repeated():
    assert set(answers_to("Hello", training=[])) == {"repeat"}


def test_rules_are_kept_by_an_answer_that_says_nothing():
    rules = {"min_words": 6, "contains": ["refund"], "starts_with": "Dear", "ends_with": "Yours"}
    measure = get_measure("rules", rules)
    found = answers_to("Where is my money?", measure=measure)["rules"][0]
    assert measure.check(found, "").passed
    assert found.startswith("Dear")
    assert "refund" in found


def test_rules_that_contradict_each_other_have_no_such_answer():
    measure = get_measure("rules", {"max_words": 1, "contains": ["two words"]})
    assert "rules" not in answers_to("Hello", measure=measure)


def test_large_sets_are_compared_with_evenly_chosen_rows():
    some = trivial_baselines.evenly([TrainingRow(str(n), "") for n in range(1_000)], 300)
    assert 200 < len(some) <= 300
    assert some[0].question == "0"
    assert int(some[-1].question) > 950


def test_an_evaluation_scores_them_by_its_measure(job, recorder):
    channel = recorder()
    run(job, channel)
    events = {one["baseline"]: one["answers"] for one in channel.of("trivial_answers")}
    assert set(events) >= {"repeat"}
    assert [one["index"] for one in events["repeat"]] == [0, 1, 2, 3]
    assert not any(one["passed"] for one in events["repeat"])
    assert json.loads(json.dumps(events)) == events


def test_a_stopped_evaluation_scores_none_yet(job, recorder):
    channel = recorder(stop_after=5)
    run(job, channel)
    assert channel.of("trivial_answers") == []
