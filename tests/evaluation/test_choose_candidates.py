"""Choosing the candidates of an evaluation from what the goal has so far."""

import pytest
from django.urls import reverse

from finetune_app.candidates.models import Candidate
from finetune_app.core.errors import PlainError
from finetune_app.evaluation import candidate_selection
from finetune_app.evaluation.models import Evaluation
from finetune_app.jobs.handlers import handler_for
from finetune_app.knowledge.models import Knowledge
from finetune_app.knowledge.services import delete_indexes
from tests import fake_provider, journey

TICKED = {"from_page": "1", "with_prompt": "on", "with_tuned": "on", "instructions": "Sort."}


@pytest.fixture
def endpoint(team, owner, settings):
    with fake_provider.running() as platform:
        settings.ENDPOINTS_ALLOWED = frozenset({platform.place})
        yield platform.endpoint(team, owner, name="Distant")


def labels(goal) -> list[str]:
    return [
        one.label
        for one in candidate_selection.candidate_options(
            candidate_selection.EvaluationInputs.for_goal(goal)
        )
    ]


def test_each_finished_step_adds_an_option(goal, owner):
    journey.ready(goal, owner)
    assert labels(goal) == ["With a good prompt"]
    journey.trained(goal, owner)
    assert labels(goal) == ["With a good prompt", "Tuned"]


def test_the_launch_page_creates_no_candidates(as_editor, trained, url):
    as_editor.get(url("page") + "?new")
    assert not Candidate.objects.exists()


def test_saved_instructions_replace_the_default_prompt(trained):
    kept = Candidate.objects.create(
        goal=trained.goal,
        kind="prompt",
        base_model=trained.base_model,
        saved=True,
        name="Mine",
        instructions="You sort emails. Be terse.",
        shots=[{"prompt": "Hello", "answer": "topic: other"}],
    )
    best = candidate_selection.default_prompt(
        candidate_selection.EvaluationInputs.for_goal(trained.goal)
    )
    assert (best.instructions, best.shots) == (kept.instructions, kept.shots)


def test_a_remote_model_takes_part_only_when_ticked(as_editor, trained, endpoint, url):
    page = as_editor.get(url("page") + "?new").content.decode()
    assert "Distant" in page
    assert "your test prompts are sent to it" in page
    as_editor.post(url("start"))
    bare = Evaluation.objects.get()
    assert not any(one.is_remote for one in bare.candidates())
    bare.delete()
    as_editor.post(url("start"), TICKED | {f"with_endpoint-{endpoint.pk}": "on"})
    found = Evaluation.objects.get().candidates()
    assert [(one.kind, one.is_remote) for one in found] == [
        ("base", False),
        ("prompt", False),
        ("prompt", True),
        ("tuned", False),
    ]
    assert found[2].instructions == "Sort."


def test_the_verdict_is_about_the_local_candidate_with_the_most_effort(
    as_editor, trained, endpoint, url
):
    as_editor.post(url("start"), TICKED | {f"with_endpoint-{endpoint.pk}": "on"})
    assert Evaluation.objects.get().ours.kind == "tuned"


def test_the_api_key_goes_to_the_child_and_not_into_the_database(as_editor, trained, endpoint, url):
    as_editor.post(url("start"), TICKED | {f"with_endpoint-{endpoint.pk}": "on"})
    evaluation = Evaluation.objects.get()
    order = handler_for(evaluation.job).child_spec(evaluation.job)
    assert fake_provider.KEY in str(order)
    assert fake_provider.KEY not in str(evaluation.job.spec)


def test_another_teams_model_is_not_offered(trained, stranger, settings):
    other = stranger.memberships.get().team
    with fake_provider.running() as platform:
        platform.endpoint(other, stranger, name="Theirs")
    assert "Theirs" not in labels(trained.goal)


def test_a_blind_choice_compares_two_candidates(as_editor, ballot, url):
    page = as_editor.get(reverse("evaluation:page", args=[ballot.goal_id]) + "?new")
    assert "Who takes part" not in page.content.decode()


# ---- Documents ----


def test_documents_take_part_alone_and_with_the_tuned_model(as_editor, trained, knowledge, url):
    assert labels(trained.goal) == [
        "With a good prompt",
        "With your documents",
        "Tuned",
        "Tuned, with your documents",
    ]
    as_editor.post(url("start"))
    evaluation = Evaluation.objects.get()
    found = evaluation.candidates()
    assert [one.kind for one in found] == ["base", "prompt", "rag", "tuned", "combined"]
    assert evaluation.ours.kind == "combined"
    spec = handler_for(evaluation.job).child_spec(evaluation.job).spec
    assert [bool(one["knowledge"]) for one in spec["candidates"]] == [
        False,
        False,
        True,
        False,
        True,
    ]


def test_without_a_training_the_verdict_is_about_the_documents(
    as_editor, goal, owner, knowledge, url
):
    journey.ready(goal, owner)
    as_editor.post(url("start"))
    evaluation = Evaluation.objects.get()
    assert evaluation.ours.kind == "rag"
    journey.answer_all(evaluation, lambda prompt, kind: (prompt.wanted, kind == "rag"))
    journey.finish(evaluation)
    evaluation.refresh_from_db()
    assert evaluation.verdict["headline"] == "Yes, consistently better."
    assert "the model with your documents did better" in evaluation.verdict["sentence"]
    page = as_editor.get(url("detail", evaluation.pk)).content.decode()
    assert "Searching your documents is worth the work" in page


def test_changed_documents_fail_the_job_before_anything_is_asked(
    as_editor, goal, owner, knowledge, url
):
    journey.ready(goal, owner)
    as_editor.post(url("start"))
    Knowledge.objects.update(index=0)
    delete_indexes(knowledge.folder)
    with pytest.raises(PlainError, match="documents have changed"):
        handler_for(Evaluation.objects.get().job).child_spec(Evaluation.objects.get().job)


def test_an_answer_links_to_the_passages_it_was_shown(as_viewer, goal, owner, knowledge, url):
    journey.ready(goal, owner)
    evaluation = journey.started(goal, owner, ["rag"])
    journey.answer_all(evaluation, journey.tuned_is_right)
    document = knowledge.documents.first()
    evaluation.answers.filter(candidate=evaluation.ours).update(
        passages=[{"document": document.pk, "page": 0, "at": 17}]
    )
    journey.finish(evaluation)
    page = as_viewer.get(url("detail", evaluation.pk)).content.decode()
    place = reverse("knowledge:document", args=[goal.pk, document.pk])
    assert f'href="{place}?at=17"' in page
    document.delete()
    assert place not in as_viewer.get(url("detail", evaluation.pk)).content.decode()
