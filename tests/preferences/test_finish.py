"""Nothing left to choose on: what was made, and on to the training."""

from finetune_app.jobs.models import State
from finetune_app.preferences.models import AnswerPair
from tests import journey
from tests.preferences.conftest import add, choose_good, press, shown_to, text


def all_chosen(run, client, url) -> None:
    press(client, url, shown_to(client, url), "neither")
    for _choice in range(run.answer_pairs.count() - 1):
        choose_good(client, url)


def test_the_choices_are_counted_by_what_they_are_for(run, as_owner, url):
    all_chosen(run, as_owner, url)
    page = as_owner.get(url("choose"))
    made = run.answer_pairs.exclude(made=None)
    train = made.filter(made__split="train").count()
    assert "19 choices made." in text(page)
    assert f"{train} to learn from, {19 - train} to practise on." in text(page)
    assert "20 of 20 chosen" in text(page)


def test_too_few_to_train_on_lead_to_more_prompts(run, as_owner, url):
    all_chosen(run, as_owner, url)
    train = run.answer_pairs.filter(made__split="train").count()
    page = text(as_owner.get(url("choose")))
    assert f"{20 - train} more to learn from, and you can train on them" in page
    assert "Freeze version" not in page


def test_a_version_is_frozen_and_the_training_offered(run, owner, as_owner, url, goal):
    """Five pairs came with a file: together they are enough."""
    all_chosen(run, as_owner, url)
    for number in range(300, 305):
        add(goal.dataset, owner, number, rejected="worse")
    assert "Freeze version 2" in text(as_owner.get(url("choose")))
    reply = as_owner.post(url("freeze"))
    assert reply["Location"] == f"/goals/{goal.pk}/training/?new&method=dpo"
    version = goal.dataset.versions.first()
    made = run.answer_pairs.filter(made__split="train")
    assert (version.number, version.pairs) == (2, made.count() + 5)
    assert "Train on your choices" in text(as_owner.get(url("choose")))
    again = as_owner.post(url("freeze"))
    assert again["Location"] == reply["Location"]
    assert goal.dataset.versions.count() == 2


def test_pairs_are_no_repeats_and_no_contradictions(run, as_owner, url, goal):
    """A prompt stands in two rows then: once with its own answer, once as a pair."""
    from finetune_app.checks import services as checks

    all_chosen(run, as_owner, url)
    checks.run_checks(goal.dataset)
    names = set(goal.dataset.findings.values_list("check_name", flat=True))
    assert not names & {"contradictions", "duplicates", "leakage", "practice_leakage"}


def test_a_pair_that_was_thrown_away_does_not_count(run, as_owner, url):
    all_chosen(run, as_owner, url)
    one = run.answer_pairs.exclude(made=None).first()
    one.made.delete()
    assert "18 choices made." in text(as_owner.get(url("choose")))


def test_while_answers_are_written_the_page_waits_and_then_goes_on(run, as_owner, url):
    run.answer_pairs.update(state=AnswerPair.State.WAITING)
    journey.set_state(run.job, State.RUNNING)
    assert "The next answers are being written." in text(as_owner.get(url("choose")))
    watching = {"HX-Request": "true", "HX-Target": "live"}
    assert "HX-Refresh" not in as_owner.get(url("choose"), headers=watching)
    run.answer_pairs.filter(place=3).update(state=AnswerPair.State.READY)
    assert as_owner.get(url("choose"), headers=watching)["HX-Refresh"] == "true"
    assert shown_to(as_owner, url).place == 3


def test_a_stopped_run_says_how_many_have_no_answers(run, as_owner, url):
    run.answer_pairs.update(state=AnswerPair.State.WAITING)
    journey.set_state(run.job, State.STOPPED)
    assert "20 prompts have no answers yet" in text(as_owner.get(url("choose")))


def test_the_dataset_and_a_finished_training_lead_here(ready, owner, as_owner, as_viewer, url):
    from django.urls import reverse

    training = journey.trained(ready, owner)
    detail = reverse("training:detail", args=[ready.pk, training.number])
    for address in (reverse("datasets:page", args=[ready.pk]), detail):
        assert url("page") in as_owner.get(address).content.decode()
    assert "Choose between answers" in text(as_owner.get(detail))
    assert url("page") not in as_viewer.get(detail).content.decode()
