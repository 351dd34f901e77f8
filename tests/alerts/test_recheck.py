"""Rechecks: the evaluation of the live candidate is repeated on the same version."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from finetune_app.accounts.models import User
from finetune_app.alerts import rechecks, rules, services
from finetune_app.alerts.models import Notice, Recheck
from finetune_app.candidates import services as candidates
from finetune_app.core.errors import PlainError
from finetune_app.deployment import services as deployment
from finetune_app.deployment.models import Deployment, Release
from finetune_app.deployment.release_history import release_entries
from finetune_app.evaluation import services as evaluations
from finetune_app.evaluation.history import history_context
from finetune_app.evaluation.models import Evaluation
from finetune_app.goals.models import Goal, Method
from finetune_app.guide.progress import progress_of
from finetune_app.guide.wizard.measured import measured
from finetune_app.model_export.model_card import evaluation_of
from tests import journey
from tests.alerts.conftest import change, check


@pytest.fixture
def tuned(goal, owner):
    """A deployment of a trained model that passed every test prompt."""
    return live_goal(goal, owner)


def live_goal(goal: Goal, owner: User, base_model: str = "tiny") -> Deployment:
    training = journey.trained(journey.ready(goal, owner, journey.install(base_model)), owner)
    journey.evaluated(training, owner)
    candidate = candidates.tuned_candidate(training=training)
    return deployment.go_live(goal=goal, candidate=candidate, by=owner).deployment


@pytest.fixture
def watch(tuned):
    return services.watch_of(tuned)


def finished(recheck: Recheck, wrong: int = 0) -> Evaluation:
    """The evaluation, finished; the tuned model failed the first `wrong` prompts."""

    def answer(prompt, kind):
        if kind != "tuned" or prompt.index < wrong:
            return "I am not sure.", False
        return prompt.wanted, True

    journey.answer_all(recheck.evaluation, answer)
    journey.finish(recheck.evaluation)
    return recheck.evaluation


def test_a_recheck_uses_the_same_version_and_candidates(watch, tuned):
    recheck = rechecks.start(watch)
    made, first = recheck.evaluation, recheck.baseline
    assert made.version == first.version
    assert made.ours == tuned.current.candidate
    assert made.base == first.base
    assert recheck.evaluation.started_by is None


def test_a_recheck_is_no_new_look_at_the_test_set(watch, tuned):
    """The same candidates answer again, so nothing new is tried."""
    first = rechecks.baseline_of(tuned, tuned.current)
    made = finished(rechecks.start(watch))
    made.refresh_from_db()
    assert (first.looks, made.looks) == (1, 1)
    assert tuned.goal.looks.count() == 1


def test_the_page_says_that_a_recheck_is_no_new_look(watch, as_editor, url):
    assert "A repetition is no new look at them." in as_editor.get(url()).content.decode()


def test_the_first_recheck_of_what_no_verdict_was_about_is_a_look(goal, owner):
    """The good prompt took part beside the tuned model, which the verdict was about."""
    training = journey.trained(journey.ready(goal, owner), owner)
    first = journey.evaluated(training, owner, instructions="Sort each e-mail.")
    live = first.prompt_baseline()
    release = deployment.go_live(goal=goal, candidate=live, by=owner)
    watch = services.watch_of(release.deployment)
    made = [finished(rechecks.start(watch)) for _ in range(2)]
    assert [Evaluation.objects.get(pk=one.pk).looks for one in made] == [2, 2]
    assert goal.looks.count() == 2


def test_equal_results_are_as_good(watch, tuned):
    assert rechecks.latest_result(tuned, tuned.current) is None
    finished(rechecks.start(watch))
    found = rechecks.latest_result(tuned, tuned.current)
    assert found.as_good
    assert found.sentence.startswith("Still as good as when it went live")
    assert rules.measure("worse", tuned) == 0


def test_a_worse_result_is_shown_and_raises_the_rule(watch, tuned, owner, settings):
    settings.EMAIL_READY = True
    change(watch, limits={"worse": 5.0}, people=[owner])
    made = rechecks.start(watch)
    prompts = made.baseline.version.counts["test"]
    finished(made, wrong=2)
    found = rechecks.latest_result(tuned, tuned.current)
    assert found.right_now == prompts - 2
    assert not found.as_good
    assert found.sentence.startswith("Not as good")
    assert check(watch, 2, "worse") == ["", "raised"]
    assert "test prompts fewer than when it went live" in Notice.objects.get().text
    finished(rechecks.start(watch))
    assert check(watch, 3, "worse") == ["", "", "recovered"]


def test_a_candidate_without_an_evaluation_cannot_be_rechecked(watch, tuned, owner):
    finished(rechecks.start(watch), wrong=3)
    base = candidates.base_candidate(goal=tuned.goal, base_model=journey.install("other"))
    deployment.go_live(goal=tuned.goal, candidate=base, by=owner)
    assert rechecks.latest_result(tuned, tuned.current) is None
    with pytest.raises(PlainError, match="not been tested"):
        rechecks.start(watch)


def test_only_one_recheck_at_a_time(watch):
    rechecks.start(watch)
    with pytest.raises(PlainError, match="under way"):
        rechecks.start(watch)
    assert Recheck.objects.count() == 1


def test_a_test_that_a_colleague_starts_meanwhile_is_no_recheck(watch, tuned, owner, monkeypatch):
    """What the candidates have learned is read from files first, which takes seconds."""
    first = rechecks.baseline_of(tuned, tuned.current)
    left_out_of = evaluations.left_out_of

    def slowly(*given):
        monkeypatch.setattr(evaluations, "left_out_of", left_out_of)
        evaluations.start(
            goal=tuned.goal, version=first.version, candidates=[first.base, first.ours], user=owner
        )
        return left_out_of(*given)

    monkeypatch.setattr(evaluations, "left_out_of", slowly)
    with pytest.raises(PlainError, match="under way") as refused:
        rechecks.start(watch)
    assert refused.value.status == 409
    assert not Recheck.objects.exists()
    assert tuned.goal.evaluations.active().get().started_by == owner


def test_one_broken_file_does_not_end_the_rechecks_of_others(
    watch, tuned, owner, monkeypatch, caplog
):
    other = live_goal(Goal.objects.create(team=tuned.team, name="Name bikes"), owner, "other")
    for one in (watch, services.watch_of(other)):
        change(one, recheck_days=7)
    Release.objects.update(at=timezone.now() - timedelta(days=8))
    left_out_of = evaluations.left_out_of

    def broken_here(version, *given):
        if version.dataset.goal == tuned.goal:
            raise OSError("a broken file")
        return left_out_of(version, *given)

    monkeypatch.setattr(evaluations, "left_out_of", broken_here)
    rechecks.start_due()
    assert Recheck.objects.get().watch.deployment == other
    assert "a broken file" in caplog.text


def test_the_clock_starts_only_due_rechecks(watch, tuned):
    rechecks.start_due()
    assert not Recheck.objects.exists()  # no interval is set
    change(watch, recheck_days=7)
    rechecks.start_due()
    assert not Recheck.objects.exists()  # it went live today
    tuned.releases.update(at=timezone.now() - timedelta(days=8))
    rechecks.start_due()
    rechecks.start_due()
    recheck = Recheck.objects.get()
    finished(recheck)
    rechecks.start_due()
    assert Recheck.objects.count() == 1
    Recheck.objects.update(created_at=timezone.now() - timedelta(days=8))
    deployment.pause(deployment=tuned)
    rechecks.start_due()
    assert Recheck.objects.count() == 1
    deployment.resume(deployment=tuned)
    rechecks.start_due()
    assert Recheck.objects.count() == 2


def test_an_editor_starts_a_recheck_from_the_page(
    watch, tuned, as_editor, as_viewer, as_stranger, url
):
    assert "not been tested again" in as_editor.get(url()).content.decode()
    assert as_viewer.post(url("recheck")).status_code == 403
    assert as_stranger.post(url("recheck")).status_code == 404
    assert as_editor.post(url("recheck")).status_code == 302
    assert "A test is under way." in as_viewer.get(url()).content.decode()
    finished(Recheck.objects.get())
    assert "Still as good as when it went live" in as_viewer.get(url()).content.decode()


def test_a_recheck_is_not_the_newest_test_of_the_goal(watch, tuned, owner, as_viewer):
    """A newer training was tested meanwhile, and the live one is tested again."""
    newer = journey.evaluated(journey.trained(tuned.goal, owner, weights="second"), owner)
    finished(rechecks.start(watch))
    (progress,) = progress_of([tuned.goal])
    assert progress.evaluation.pk == newer.pk
    assert "Not tested yet" not in progress.next.state
    page = as_viewer.get(reverse("evaluation:page", args=[tuned.goal.pk]))
    assert page.url == reverse("evaluation:detail", args=[tuned.goal.pk, newer.pk])


def test_the_letter_stays_with_what_the_whole_test_has_shown(goal, owner):
    """A good prompt did as well there; the recheck asks only the base and the live model."""
    training = journey.trained(journey.ready(goal, owner), owner)

    def a_prompt_is_enough(prompt, kind):
        return (prompt.wanted, True) if kind != "base" else ("no", False)

    whole = journey.evaluated(training, owner, a_prompt_is_enough, instructions="Sort it.")
    release = deployment.go_live(goal=goal, candidate=whole.ours, by=owner)
    finished(rechecks.start(services.watch_of(release.deployment)))
    found = measured(goal)
    assert (found.evaluation, found.method) == (whole, Method.PROMPT)


def test_the_model_card_and_the_releases_name_the_test_before_it_went_live(watch, tuned):
    first = rechecks.baseline_of(tuned, tuned.current)
    finished(rechecks.start(watch), wrong=3)
    (release,) = release_entries(tuned)
    assert release.evaluation == first
    assert evaluation_of(first.ours.training) == first


def test_the_history_keeps_the_order_in_which_people_tested(watch, tuned, owner):
    first = rechecks.baseline_of(tuned, tuned.current)
    newer = journey.evaluated(journey.trained(tuned.goal, owner, weights="second"), owner)
    finished(rechecks.start(watch))
    assert [one.evaluation for one in history_context(tuned.goal)["tested"]] == [newer, first]


def test_who_asks_for_the_same_test_again_gets_their_own(watch, tuned):
    first = rechecks.baseline_of(tuned, tuned.current)
    finished(rechecks.start(watch))
    found = evaluations.find_finished(tuned.goal, first.version, first.candidates())
    assert found == first
