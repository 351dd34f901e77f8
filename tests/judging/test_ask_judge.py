"""Who may ask a judge, which models may judge, and what has to be agreed to first."""

import pytest
from django.urls import reverse
from django.utils import timezone

from finetune_app.basemodels.models import BaseModel
from finetune_app.candidates import services as candidates
from finetune_app.judging import services
from finetune_app.judging.judge_selection import judge_options
from finetune_app.judging.models import JudgeRun
from tests import journey
from tests.judging.conftest import styled_answers

RUBRIC = "The right topic and due date."


@pytest.fixture
def form(endpoint):
    """A complete form for the remote model."""

    def build(**fields: str) -> dict[str, str]:
        complete = {"judge": f"endpoint-{endpoint.pk}", "rubric": RUBRIC, "consent": "on"}
        return {name: value for name, value in (complete | fields).items() if value}

    return build


def why_not(evaluation) -> dict[str, str]:
    return {one.label: one.why_not for one in judge_options(evaluation)}


# ---- Who asks ----


def test_an_editor_asks_and_sees_it_wait(as_editor, editor, url, form, tested, endpoint):
    page = as_editor.get(url("ask")).content.decode()
    assert endpoint.name in page
    assert "Sort each email." in page, "the goal's own words are there to begin with"
    reply = as_editor.post(url("ask"), form())
    run = JudgeRun.objects.get()
    assert reply["Location"] == url("detail", run.pk)
    assert (run.endpoint, run.rubric, run.started_by) == (endpoint, RUBRIC, editor)
    assert run.job.kind == "judge"
    assert "About to start" in as_editor.get(url("detail", run.pk)).content.decode()


def test_a_second_click_asks_nobody_twice(as_editor, url, form):
    as_editor.post(url("ask"), form())
    as_editor.post(url("ask"), form())
    assert JudgeRun.objects.count() == 1


def test_viewers_look_and_strangers_find_nothing(as_viewer, as_stranger, as_editor, url, form):
    as_editor.post(url("ask"), form())
    run = JudgeRun.objects.get()
    assert as_viewer.get(url("detail", run.pk)).status_code == 200
    assert as_viewer.get(url("ask")).status_code == 403
    assert as_viewer.post(url("ask"), form()).status_code == 403
    assert as_stranger.get(url("detail", run.pk)).status_code == 404
    assert as_stranger.post(url("ask"), form()).status_code == 404
    for name in ("stop", "continue", "delete"):
        assert as_viewer.post(url(name, run.pk)).status_code == 403
        assert as_stranger.post(url(name, run.pk)).status_code == 404
        assert as_editor.get(url(name, run.pk)).status_code == 405
    assert as_editor.put(url("ask")).status_code == 405
    assert JudgeRun.objects.get() == run


def test_a_run_belongs_to_its_evaluation(as_editor, url, form, tested, owner):
    as_editor.post(url("ask"), form())
    other = journey.evaluated(tested.ours.training, owner, say=styled_answers)
    ids = [tested.goal_id, other.pk, JudgeRun.objects.get().pk]
    assert as_editor.get(reverse("judging:detail", args=ids)).status_code == 404


# ---- Who judges ----


def test_the_base_model_may_not_judge_itself(tested):
    assert "judge itself" in why_not(tested)["Tiny"]


def test_another_base_model_of_this_machine_may(tested):
    other = journey.install("other")
    BaseModel.objects.filter(pk=other.pk).update(files={"model.safetensors": "b" * 64})
    assert why_not(tested)["Other"] == ""


def test_the_same_weights_under_another_name_may_not(tested):
    journey.install("copy")
    assert (
        why_not(tested)["Copy"] == "It has the weights of Tiny, which answers in this evaluation."
    )


def test_a_model_whose_files_are_gone_is_not_offered(tested, data_dir):
    other = journey.install("other")
    (data_dir / other.folder / "config.json").unlink()
    assert "Other" not in why_not(tested)


def test_a_remote_model_that_takes_part_may_not(tested, endpoint, platform, team, owner):
    """Nor may the same model at the same address that the team calls by another name."""
    taking_part = candidates.prompt_candidate(
        goal=tested.goal, endpoint=endpoint, instructions="Sort it.", shots=[]
    )
    tested.others.add(taking_part)
    platform.endpoint(team, owner, name="An alias")
    platform.endpoint(team, owner, model="another", name="Another")
    reasons = why_not(tested)
    assert "judge itself" in reasons[endpoint.name]
    assert "judge itself" in reasons["An alias"]
    assert reasons["Another"] == ""


def test_the_page_says_why_one_is_not_offered_and_takes_none_of_them(
    as_editor, url, form, tested, endpoint
):
    page = as_editor.get(url("ask")).content.decode()
    assert "Not offered" in page
    assert "it would judge itself" in page
    reply = as_editor.post(url("ask"), form(judge=f"base-{tested.base.base_model_id}"))
    assert reply.status_code == 422
    assert not JudgeRun.objects.exists()


def test_another_teams_model_is_no_choice(as_editor, url, form, platform, stranger):
    theirs = platform.endpoint(stranger.teams.get(), stranger, model="theirs")
    assert as_editor.post(url("ask"), form(judge=f"endpoint-{theirs.pk}")).status_code == 422
    assert not JudgeRun.objects.exists()


# ---- What has to be there ----


def test_nothing_is_sent_away_without_consent(as_editor, url, form, tested, endpoint):
    reply = as_editor.post(url("ask"), form(consent=""))
    assert reply.status_code == 422
    page = reply.content.decode()
    assert "Nothing is sent there until you agree." in page
    assert RUBRIC in page, "what was typed is still there"
    assert not JudgeRun.objects.exists()


def test_a_local_judge_needs_no_consent(as_editor, url, form, tested):
    other = journey.install("other")
    BaseModel.objects.filter(pk=other.pk).update(files={})
    as_editor.post(url("ask"), form(judge=f"base-{other.pk}", consent=""))
    assert JudgeRun.objects.get().base_model == other


def test_a_judge_needs_to_be_told_what_is_good(as_editor, url, form):
    reply = as_editor.post(url("ask"), form(rubric=""))
    assert reply.status_code == 422
    assert "what makes an answer good" in reply.content.decode()


def test_only_a_finished_evaluation_is_judged(as_editor, goal, owner, tested, form):
    waiting = journey.begun(tested.ours.training, owner)
    address = reverse("judging:ask", args=[goal.pk, waiting.pk])
    assert "once the evaluation is done" in as_editor.get(address).content.decode()
    assert as_editor.post(address, form()).status_code == 422
    assert not JudgeRun.objects.exists()


def test_no_judge_while_people_still_vote_without_names(as_editor, url, form, tested):
    """Its page tells which answer is whose."""
    tested.measure, tested.measure_settings = "choice", {}
    tested.save()
    assert as_editor.post(url("ask"), form()).status_code == 422
    assert not JudgeRun.objects.exists()
    tested.revealed_at = timezone.now()
    tested.save()
    as_editor.post(url("ask"), form())
    assert JudgeRun.objects.exists()


def test_too_few_prompts_to_test_a_judge_on(as_editor, url, form, tested):
    tested.comparisons.filter(index__gte=7).delete()
    assert "could not be tested" not in as_editor.get(url("ask")).content.decode()
    reply = as_editor.post(url("ask"), form())
    assert reply.status_code == 422
    assert "8 pairs of each kind are needed" in as_editor.get(url("ask")).content.decode()


def test_answers_that_are_all_the_same_leave_nothing_to_judge(tested):
    for answer in tested.answers.filter(candidate=tested.ours):
        tested.answers.filter(candidate=tested.base, index=answer.index).update(text=answer.text)
    pairs = services.pairs_of(tested)
    assert not [pair for pair in pairs if pair["kind"] == "answers"]
    with pytest.raises(services.PlainError, match="nothing to judge"):
        services.require_pairs(pairs)
