"""Go live, roll back, pause and resume."""

import pytest

from finetune_app.candidates import services as candidates
from finetune_app.candidates.models import Candidate
from finetune_app.core.errors import PlainError
from finetune_app.core.files import local_folder
from finetune_app.deployment import services
from finetune_app.deployment.models import Deployment
from tests.journey import trained


def test_go_live_from_the_page(goal, tuned, as_editor, url):
    page = as_editor.get(url("page"))
    assert page.context["suggested"] == "training-1"
    reply = as_editor.post(url("go_live"), {"candidate": "training-1"}, follow=True)
    assert "is live under the name" in reply.content.decode()
    live = Deployment.objects.get(goal=goal)
    assert live.name == "sort-shop-emails"
    assert live.current.candidate.training == tuned
    assert live.current.candidate.frozen_at


def test_what_else_could_answer_is_chosen_where_one_sees_how_each_did(
    live, as_editor, as_viewer, url
):
    page = as_editor.get(url("page")).content.decode()
    assert f'href="{url("versions")}#choose"' in page
    versions = as_editor.get(url("versions"))
    assert versions.context["suggested"] == "training-1"
    assert 'id="choose"' in versions.content.decode()
    assert 'id="choose"' not in as_viewer.get(url("versions")).content.decode()
    assert "#choose" not in as_viewer.get(url("page")).content.decode()


def test_the_formats_of_what_was_tuned_are_a_click_away_whatever_is_live(
    goal, live, owner, as_viewer, url
):
    assert "/exports/" in as_viewer.get(url("page")).content.decode()
    current = live.current.candidate
    base = candidates.base_candidate(goal=goal, base_model=current.base_model)
    services.go_live(goal=goal, candidate=base, by=owner)
    assert "/exports/" in as_viewer.get(url("page")).content.decode()
    goal.trainings.update(adapter_sha256="")  # none has ended well
    assert "/exports/" not in as_viewer.get(url("page")).content.decode()


def test_the_same_candidate_twice_is_one_version(goal, live, tuned, owner):
    services.go_live(goal=goal, candidate=candidates.tuned_candidate(training=tuned), by=owner)
    assert live.releases.count() == 1


def test_roll_back_to_an_earlier_version(goal, live, tuned, owner, as_editor, url):
    base = candidates.base_candidate(goal=goal, base_model=tuned.base_model)
    services.go_live(goal=goal, candidate=base, by=owner)
    assert live.current.candidate == base
    as_editor.post(url("roll_back", number=1))
    assert [one.candidate.kind for one in live.releases.all()] == ["tuned", "base", "tuned"]


def test_a_changed_adapter_file_does_not_go_live(goal, owner, tuned):
    folder = local_folder(tuned.adapter_folder)
    (folder / "adapter_model.safetensors").write_text("other weights")
    candidate = candidates.tuned_candidate(training=tuned)
    with pytest.raises(PlainError, match="missing or were changed"):
        services.go_live(goal=goal, candidate=candidate, by=owner)
    assert not Deployment.objects.exists()


def test_two_goals_with_one_name_get_two_model_names(goal, live, owner, team):
    from finetune_app.goals.models import Goal

    other = Goal.objects.create(team=team, name=goal.name, created_by=owner)
    base = candidates.base_candidate(goal=other, base_model=live.current.candidate.base_model)
    assert services.go_live(goal=other, candidate=base, by=owner).deployment.name.endswith("-2")


def test_pause_and_resume(live, as_editor, url):
    as_editor.post(url("pause"), {"pause": "1"})
    assert "Let it answer again" in as_editor.get(url("page")).content.decode()
    as_editor.post(url("pause"), {"resume": "1"})
    live.refresh_from_db()
    assert live.paused_at is None


def test_a_candidate_has_to_be_chosen(goal, tuned, as_editor, url):
    reply = as_editor.post(url("go_live"), {"candidate": "training-99"})
    assert reply.status_code == 400
    assert "Choose what should answer." in reply.content.decode()


def test_viewers_can_only_look_and_strangers_see_nothing(live, as_viewer, as_stranger, url):
    assert "New key" not in as_viewer.get(url("page")).content.decode()
    assert as_viewer.post(url("pause"), {"pause": "1"}).status_code == 403
    assert as_stranger.get(url("page")).status_code == 404


def test_deleting_the_goal_deletes_the_deployment(goal, live):
    goal.delete()
    assert not Deployment.objects.exists()
    assert not Candidate.objects.exists()


def test_another_training_can_go_live(goal, live, owner, as_editor, url):
    again = trained(goal, owner, weights="better weights")
    as_editor.post(url("go_live"), {"candidate": f"training-{again.number}"})
    assert live.current.candidate.training == again
