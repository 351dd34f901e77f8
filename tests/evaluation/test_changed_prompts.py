"""Prompts that are removed or changed after results on them were seen still count: a test cannot be
changed until it says what was hoped for."""

import pytest

from finetune_app.datasets import services as datasets
from finetune_app.datasets.models import Example, Split
from finetune_app.evaluation.method_table import method_table_context
from finetune_app.evaluation.models import Evaluation, TestSetLook
from finetune_app.evaluation.prompt_baseline import BaselinePrompt
from finetune_app.goals import services as goals
from finetune_app.guide.wizard.measured import measured
from finetune_app.versions import services as versions
from tests import journey
from tests.example_rows import conversation, pair

HELD_BACK = "Better only without the prompts that were removed or changed."
HALF = 24  # the tuned model is right on so many, the base model on as many others


class Bench:
    """A goal with 48 test prompts. Who answers one rightly depends on its row alone: on the hard
    ones the base model, and with `prompt_wins` the good prompt; on the easy ones the tuned model,
    and with `prompt_wins` the good prompt, too."""

    def __init__(self, goal, owner):
        self.goal, self.owner = goal, owner
        self.dataset = datasets.dataset_of(goal)
        self.prompt_is_right = lambda hard: False
        journey.ready(goal, owner)
        self.dataset.examples.filter(split=Split.TEST).update(split=Split.TRAIN)
        self.easy, self.hard = self.add(range(100, 100 + HALF)), self.add(range(130, 130 + HALF))

    def add(self, numbers: range) -> list[int]:
        """Test rows; returns their numbers in the dataset."""
        self.dataset.refresh_from_db()
        last = self.dataset.last_number
        rows = [{"messages": conversation(*pair(n)), "split": "test"} for n in numbers]
        datasets.add_rows(dataset=self.dataset, by=self.owner, rows=rows, source="test.csv")
        return list(range(last + 1, last + 1 + len(rows)))

    def change(self, numbers: list[int], fields) -> None:
        datasets.change_many(
            dataset=self.dataset,
            by=self.owner,
            what="Changed",
            examples=list(Example.objects.filter(dataset=self.dataset, number__in=numbers)),
            fields=fields,
        )

    def remove(self, numbers: list[int]) -> None:
        self.change(numbers, lambda example: {"deleted": True})

    def want(self, numbers: list[int], answer: str) -> None:
        self.change(
            numbers,
            lambda one: {"messages": [one.messages[0], {"role": "assistant", "content": answer}]},
        )

    def train_and_test(self, *keys: str) -> Evaluation:
        versions.freeze(dataset=self.dataset, by=self.owner)
        weights = f"weights {self.goal.trainings.count()}"
        training = journey.trained(self.goal, self.owner, weights=weights)
        prompt = BaselinePrompt("Sort each e-mail.", [])
        made = journey.started(
            self.goal, self.owner, [*(keys or ["tuned"])], training=training, prompt=prompt
        )
        journey.answer_all(made, self.say)
        journey.finish(made)
        made.refresh_from_db()
        return made

    def say(self, prompt, kind):
        hard = prompt.row in self.hard and prompt.wanted != "as the model says"
        is_right = {"base": hard, "tuned": not hard, "prompt": self.prompt_is_right(hard)}[kind]
        return f"{kind} {prompt.index}", is_right


@pytest.fixture
def bench(goal, owner) -> Bench:
    return Bench(goal, owner)


def test_removing_the_prompts_it_fails_on_makes_no_model_better(bench):
    """Also when it is trained again, as it is each time that the examples change."""
    first = bench.train_and_test().verdict
    assert (first["wins"], first["losses"], first["held_back"]) == (HALF, HALF, False)
    bench.remove(bench.hard)
    verdict = bench.train_and_test().verdict
    assert (verdict["wins"], verdict["losses"]) == (HALF, 0), "as counted"
    assert verdict["held_back"]
    assert verdict["level"] == "too_few_to_tell"
    assert verdict["headline"] == HELD_BACK
    assert "cannot be said" in verdict["rarity"]
    assert "24 prompts of earlier tests were removed or changed" in verdict["notes"][-1]
    assert "better on 24, the same on 0, worse on 24" in verdict["notes"][-1]


def test_nor_does_moving_them_among_what_it_learns_from(bench):
    bench.train_and_test()
    bench.change(bench.hard, lambda example: {"split": "train"})
    assert bench.train_and_test().verdict["headline"] == HELD_BACK


def test_nor_does_writing_the_answers_of_the_model_to_them(bench):
    bench.train_and_test()
    bench.want(bench.hard, "as the model says")
    verdict = bench.train_and_test().verdict
    assert (verdict["wins"], verdict["losses"]) == (2 * HALF, 0)
    assert verdict["headline"] != "Yes, consistently better."
    assert verdict["held_back"]
    assert "better on 48, the same on 0, worse on 24" in verdict["notes"][-1]


def test_nor_with_a_word_changed_in_each_of_those_that_are_kept(bench):
    bench.train_and_test()
    bench.want(bench.easy, "another wording")
    bench.remove(bench.hard)
    assert bench.train_and_test().verdict["headline"] == HELD_BACK


def test_nor_when_the_first_test_is_deleted(bench):
    bench.train_and_test().delete()
    bench.remove(bench.hard)
    assert bench.train_and_test().verdict["headline"] == HELD_BACK


def test_nor_when_they_are_removed_a_few_at_a_time(bench):
    for start in range(0, HALF, 8):
        bench.train_and_test()
        bench.remove(bench.hard[start : start + 8])
    verdict = bench.train_and_test().verdict
    assert (verdict["wins"], verdict["losses"]) == (HALF, 0)
    assert verdict["headline"] == HELD_BACK
    assert "24 prompts" in verdict["notes"][-1]


def test_people_who_chose_are_held_to_what_they_chose(goal, owner, bench):
    goals.choose_measure(goal=goal, kind="choice", settings={})
    for removed in ([], bench.hard):
        bench.remove(removed)
        evaluation = bench.train_and_test()
        hard = [one.index for one in evaluation.test_prompts() if one.row in bench.hard]
        evaluation.comparisons.update(outcome="better")
        evaluation.comparisons.filter(index__in=hard).update(outcome="worse")
        evaluation.revealed_at = evaluation.created_at
        evaluation.save()
        journey.evaluations.store_verdict(evaluation)
    assert evaluation.verdict["headline"] == HELD_BACK
    assert evaluation.verdict["held_back"]


def test_nor_does_it_win_against_a_good_prompt(bench):
    """A good prompt is right on the hard ones: without these, tuning seems worth it."""
    bench.say = lambda prompt, kind: (
        f"{kind} {prompt.index}",
        {"base": False, "tuned": True, "prompt": prompt.row in bench.hard}[kind],
    )
    bench.hard += bench.add(range(160, 240))
    bench.train_and_test("prompt", "tuned")
    bench.remove(bench.hard)
    evaluation = bench.train_and_test("prompt", "tuned")
    verdict = evaluation.verdict
    assert verdict["level"] == "consistently_better"
    assert verdict["versus_prompt"] == "better", "on 24 of 128, never worse: that holds"
    assert not verdict["held_back"]


def test_a_good_prompt_that_did_better_on_what_was_removed_still_does(bench):
    bench.say = lambda prompt, kind: (
        f"{kind} {prompt.index}",
        {"base": False, "tuned": prompt.row in bench.easy, "prompt": prompt.row in bench.hard}[
            kind
        ],
    )
    bench.train_and_test("prompt", "tuned")
    bench.remove(bench.hard)
    evaluation = bench.train_and_test("prompt", "tuned")
    verdict = evaluation.verdict
    assert verdict["level"] == "consistently_better", "than the base model, which is never right"
    assert verdict["versus_prompt"] == "unclear"
    assert "we can’t tell yet: better on 24, the same on 0, worse on 24" in verdict["notes"][0]
    assert verdict["held_back"]
    assert method_table_context(evaluation)["recommendation"].found == "changed"


def test_the_page_says_what_counts_and_what_to_do(as_owner, url, bench):
    bench.train_and_test()
    bench.remove(bench.hard)
    evaluation = bench.train_and_test()
    page = as_owner.get(url("detail", evaluation.pk)).content.decode()
    assert HELD_BACK in page
    assert "24 prompts of earlier tests were removed or changed" in page
    assert "That shows less than today’s prompts alone, so it is what counts." in page
    assert "fresh test prompts would settle it" in page
    assert "Test was changed" in page
    assert "Add examples" in page
    report = as_owner.get(url("download", evaluation.pk, "html"))
    assert HELD_BACK in report.content.decode()


def test_the_wizard_takes_it_for_open(bench, goal):
    bench.train_and_test()
    bench.remove(bench.hard)
    bench.train_and_test()
    assert not measured(goal).conclusive


def test_a_verdict_that_holds_with_them_says_so(bench):
    bench.train_and_test()
    bench.remove(bench.hard[:20])
    bench.add(range(160, 240))
    verdict = bench.train_and_test().verdict
    assert verdict["level"] == "consistently_better"
    assert not verdict["held_back"]
    assert verdict["notes"][-1].endswith("The verdict holds with it.")


def test_mostly_other_prompts_are_another_test(bench):
    bench.train_and_test()
    bench.remove([*bench.hard, *bench.easy])
    bench.add(range(160, 200))
    verdict = bench.train_and_test().verdict
    assert verdict["level"] == "consistently_better"
    assert "earlier tests" not in " ".join(verdict["notes"])


def test_another_format_of_all_answers_is_another_test(bench):
    """Nothing was chosen by its result."""
    bench.train_and_test()
    bench.want([*bench.easy, *bench.hard], "another format")
    assert "earlier tests" not in " ".join(bench.train_and_test().verdict["notes"])


def test_what_was_added_later_is_not_missing_from_a_test_of_an_older_version(bench, goal, owner):
    older = bench.train_and_test()
    bench.add(range(160, 200))
    bench.train_and_test()
    again = journey.evaluated(older.ours.training, owner, say=bench.say)
    assert again.version == older.version
    assert "earlier tests" not in " ".join(again.verdict["notes"])


def test_another_measure_saw_other_results(bench, goal):
    bench.train_and_test()
    bench.remove(bench.hard)
    goals.choose_measure(goal=goal, kind="close", settings={})
    assert "earlier tests" not in " ".join(bench.train_and_test().verdict["notes"])


def test_a_look_keeps_numbers_and_no_text(bench):
    bench.train_and_test()
    stored = str(TestSetLook.objects.get().results)
    assert "Ticket" not in stored
    assert "topic" not in stored
