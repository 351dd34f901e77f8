"""How often results on a test set were seen is counted by prompt and by what was tested."""

from dataclasses import replace
from importlib import import_module

import pytest
from django.apps import apps

from finetune_app.core.files import local_path
from finetune_app.datasets import services as datasets
from finetune_app.evaluation import looks
from finetune_app.evaluation.models import Evaluation
from finetune_app.evaluation.prompt_baseline import BaselinePrompt
from finetune_app.goals import services as goals
from finetune_app.versions import services as versions
from tests import journey
from tests.example_rows import conversation

migration = import_module("finetune_app.evaluation.migrations.0009_what_was_seen")


def evaluate_again(training, by) -> Evaluation:
    evaluation = journey.evaluated(training, by)
    evaluation.refresh_from_db()
    return evaluation


def compare(goal, by, *keys: str) -> Evaluation:
    """Evaluated: the base, and the named candidates beside it."""
    prompt = BaselinePrompt("Sort each e-mail.", [])
    made = journey.started(goal, by, [*keys], prompt=prompt)
    journey.answer_all(made, journey.tuned_is_right)
    journey.finish(made)
    made.refresh_from_db()
    return made


def test_each_new_model_is_a_look(goal, owner, trained):
    first = evaluate_again(trained, owner)
    second = evaluate_again(journey.trained(goal, owner, weights="another"), owner)
    third = evaluate_again(journey.trained(goal, owner, weights="a third"), owner)
    assert [first.looks, second.looks, third.looks] == [1, 2, 3]


def test_testing_the_same_again_is_no_new_look(owner, trained):
    assert evaluate_again(trained, owner).looks == 1
    assert evaluate_again(trained, owner).looks == 1
    assert trained.goal.looks.count() == 1


def test_another_measure_for_the_same_answers_is_a_look(goal, owner, trained):
    """Else the measure could be changed until one of them says what was hoped for."""
    assert evaluate_again(trained, owner).looks == 1
    goals.choose_measure(goal=goal, kind="exact", settings={"ignore_case": True})
    assert evaluate_again(trained, owner).looks == 2
    goals.choose_measure(goal=goal, kind="close", settings={})
    assert evaluate_again(trained, owner).looks == 3
    assert evaluate_again(trained, owner).looks == 3, "the same once more is none"


def test_several_at_once_are_one_look_and_another_of_them_alone_is_one(goal, owner, trained):
    """The verdict is about one of them; which one must not be tried for nothing."""
    together = compare(goal, owner, "prompt", "tuned")
    assert (together.looks, together.ours.kind) == (1, "tuned")
    assert compare(goal, owner, "tuned").looks == 1, "that is what the verdict was about"
    alone = compare(goal, owner, "prompt")
    assert (alone.looks, alone.ours.kind) == (2, "prompt")
    assert compare(goal, owner, "prompt").looks == 2
    assert goal.looks.count() == 2


def test_leaving_some_out_is_a_look(goal, owner, trained, knowledge):
    """The recommendation corrects for how many are compared, so fewer need less to be ahead."""
    everything = compare(goal, owner, "prompt", "rag", "tuned")
    fewer = compare(goal, owner, "rag", "tuned")
    assert everything.ours == fewer.ours
    assert (everything.looks, fewer.looks) == (1, 2)


def test_more_prompts_for_the_same_candidates_are_a_look(goal, owner):
    """Else a few could be added again and again, until the luck is good enough."""
    journey.ready(goal, owner)
    assert compare(goal, owner, "prompt").looks == 1
    journey.freeze(goal, owner, count=80)
    assert compare(goal, owner, "prompt").looks == 2


def test_a_version_with_the_same_test_asks_nothing_new(goal, owner):
    journey.ready(goal, owner)
    assert compare(goal, owner, "prompt").looks == 1
    row = {"messages": conversation("Do you sell helmets?", "topic: sale"), "split": "train"}
    datasets.add_rows(dataset=datasets.dataset_of(goal), by=owner, rows=[row])
    versions.freeze(dataset=datasets.dataset_of(goal), by=owner)
    again = compare(goal, owner, "prompt")
    assert (again.version.number, again.looks) == (2, 1)


def test_people_may_choose_differently_so_asking_them_again_is_a_look(ballot, owner):
    assert ballot.looks == 1
    again = journey.evaluated(ballot.ours.training, owner, say=lambda prompt, kind: (kind, None))
    assert again.looks == 2


def test_deleting_an_evaluation_keeps_its_look(goal, owner, trained):
    evaluate_again(trained, owner).delete()
    assert evaluate_again(journey.trained(goal, owner, weights="another"), owner).looks == 2


def test_recording_twice_changes_nothing(owner, trained):
    evaluation = evaluate_again(trained, owner)
    looks.record(evaluation)
    evaluation.refresh_from_db()
    assert evaluation.looks == 1
    assert trained.goal.looks.count() == 1


def test_looks_are_mentioned_on_the_page(as_owner, goal, owner, trained, url):
    evaluate_again(trained, owner)
    second = evaluate_again(journey.trained(goal, owner, weights="another"), owner)
    page = as_owner.get(url("detail", second.pk)).content.decode()
    assert "Seen 2 times" in page
    assert "at most once in 40 tries" in page


def test_an_evaluation_without_results_is_no_look(trained, owner):
    stopped = journey.begun(trained, owner)
    journey.end(stopped.job, stopped=True)
    assert journey.evaluated(trained, owner).looks == 1


def test_a_look_still_counts_when_the_dataset_grows(tested, goal, owner):
    journey.freeze(goal, owner, count=80)
    assert journey.evaluated(journey.trained(goal, owner), owner).looks == 2


def test_mostly_new_prompts_are_a_new_test_set(tested, goal, owner):
    journey.freeze(goal, owner, count=200)
    assert journey.evaluated(journey.trained(goal, owner), owner).looks == 1


@pytest.mark.parametrize(("shared", "counts"), [(4, True), (3, False)])
def test_a_look_counts_while_half_of_the_prompts_were_in_it(tested, goal, shared, counts):
    seen = tested.test_prompts()[:shared]
    new = [replace(seen[0], row=10_000 + n, prompt_hash=f"{n:032x}") for n in range(4)]
    assert bool(looks.looks_at(goal, [*seen, *new])) is counts


def test_the_same_questions_under_new_numbers_were_seen(tested, goal):
    again = [replace(one, row=10_000 + one.row) for one in tested.test_prompts()]
    assert looks.looks_at(goal, again) == [tested.look]


def test_a_question_that_was_put_in_other_words_was_seen(tested, goal):
    changed = [replace(one, prompt_hash=f"{one.row:032x}") for one in tested.test_prompts()]
    assert looks.looks_at(goal, changed) == [tested.look]


def forget(look) -> None:
    """As it was recorded before questions and comparisons were kept."""
    look.prompt_hashes, look.comparison = [], {}
    look.save()


def test_the_migration_adds_to_earlier_looks_what_can_be_known(tested):
    known = tested.look.prompt_hashes, tested.look.comparison
    assert all(known)
    forget(tested.look)
    migration.describe_earlier_looks(apps, None)
    tested.look.refresh_from_db()
    assert (tested.look.prompt_hashes, tested.look.comparison) == known


def test_the_migration_leaves_a_look_whose_version_cannot_be_read(tested, trained):
    forget(tested.look)
    path = local_path(trained.version.stored_name)
    text = path.read_text()
    path.unlink()
    migration.describe_earlier_looks(apps, None)
    path.write_text(text)
    tested.look.refresh_from_db()
    assert (tested.look.prompt_hashes, tested.look.comparison) == ([], {})


def test_where_nothing_is_known_the_next_comparison_is_a_look(tested, trained, owner):
    forget(tested.look)
    assert evaluate_again(trained, owner).looks == 2
    tested.refresh_from_db()
    assert tested.looks == 1, "what was found before stays"
    assert evaluate_again(trained, owner).looks == 2
