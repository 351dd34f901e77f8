"""The catalogue page for each role and state."""

import re

import pytest

from finetune_app.basemodels.catalogue import catalogue
from finetune_app.basemodels.models import BaseModel, BaseModelChoice
from finetune_app.jobs.models import Job, State
from tests.basemodels.conftest import laid
from tests.page_text import compact

HTMX = {"HX-Request": "true"}


@pytest.fixture
def models(db) -> list[BaseModel]:
    made = [
        ("smollm2-135m-instruct", "SmolLM2 135M", 134_515_008),
        ("smollm2-360m-instruct", "SmolLM2 360M", 361_821_120),
    ]
    return [laid(slug, name=name, parameters=size) for slug, name, size in made]


def page(client, url, query: str = "", **headers) -> str:
    reply = client.get(url("page") + query, headers=headers)
    assert reply.status_code == 200
    return reply.content.decode()


def picked(text: str) -> list[str]:
    return re.findall(r'value="([\w-]+)"[^>]*\bchecked\b', text)


def test_every_model_says_what_it_is_for_and_whether_it_fits(as_owner, url, models):
    text = page(as_owner, url)
    assert "Llama 3 8B" in text
    assert "Too small for:" in text
    assert "Does not fit" in text or "Fits" in text
    assert len(re.findall(r'class="model-row', text)) == len(catalogue())


def test_the_smallest_installed_one_is_open_until_one_is_chosen(as_owner, url, models, goal):
    assert picked(page(as_owner, url)) == ["smollm2-135m-instruct"]
    BaseModelChoice.objects.create(goal=goal, base_model=models[1])
    assert picked(page(as_owner, url)) == ["smollm2-360m-instruct"]


def test_another_row_can_be_opened_without_choosing_it(as_owner, url, models, goal):
    text = page(as_owner, url, "?base=smollm2-360m-instruct", **HTMX)
    assert picked(text) == ["smollm2-360m-instruct"]
    assert "Use SmolLM2 360M" in text
    assert "<h1" not in text
    assert not BaseModelChoice.objects.exists()


@pytest.mark.parametrize("query", ["?base=llama-3-8b-instruct", "?base=x", "?base=%00", "?base="])
def test_what_is_not_here_cannot_be_opened(as_owner, url, models, query):
    assert picked(page(as_owner, url, query)) == ["smollm2-135m-instruct"]


def test_what_is_not_installed_has_its_button_and_its_licence(as_owner, url, models):
    text = page(as_owner, url)
    assert 'value="Qwen/Qwen2.5-0.5B-Instruct"' in text
    assert 'value="HuggingFaceTB/SmolLM2-135M-Instruct"' not in text
    assert "I have read the licence (Llama 3 Community) and accept it" in text
    assert 'href="https://huggingface.co/meta-llama/Meta-Llama-3-8B-Instruct"' in text


def test_without_any_model_it_says_how_to_get_one(as_owner, url, goal):
    text = page(as_owner, url)
    assert "No model is installed here yet." in text
    assert "manage.py prepare" in text
    assert "Install SmolLM2 135M" in text
    assert text.count('id="l-smollm2-135m-instruct"') == 1
    assert re.search(r'<button class="btn primary" disabled>', text)
    assert picked(text) == []


def test_a_viewer_sees_no_buttons(as_viewer, url, models, install):
    made = install()
    text = page(as_viewer, url)
    assert "SmolLM2 135M" in text
    assert f'action="{url("install")}' not in text
    assert url("token") not in text
    assert url("cancel", made.pk) not in text
    assert re.search(r'<button class="btn primary" disabled>Use SmolLM2 135M', compact(text))


def test_progress_is_polled_until_the_job_has_ended(as_viewer, url, install):
    made = install()
    Job.objects.update(state=State.RUNNING, done=4e8, total=1e9, unit="bytes")
    reply = as_viewer.get(url("progress", made.pk), headers=HTMX)
    text = reply.content.decode()
    assert "every 2s" in text
    assert "400 MB of 1.0 GB" in text
    assert "HX-Trigger" not in reply.headers

    Job.objects.update(state=State.SUCCEEDED)
    reply = as_viewer.get(url("progress", made.pk), headers=HTMX)
    assert "every 2s" not in reply.content.decode()
    assert "installed" in reply.headers["HX-Trigger"]
    assert "Installed: tiny" in reply.content.decode()


def test_a_failed_install_shows_the_reason_and_what_helps(as_owner, url, install):
    made = install()
    Job.objects.update(state=State.FAILED, error_code="no_network", message="It is gone.")
    text = page(as_owner, url)
    assert "It is gone." in text
    assert url("continue", made.pk) in text
    Job.objects.update(error_code="bad_model", message="It is no use.")
    text = page(as_owner, url)
    assert url("continue", made.pk) not in text
    assert url("cancel", made.pk) in text


def test_another_team_sees_that_it_is_coming_but_cannot_touch_it(
    as_owner, url, install, stranger, as_stranger
):
    from finetune_app.goals.models import Goal

    made = install("Qwen/Qwen2.5-0.5B-Instruct")
    team = stranger.memberships.get().team
    theirs = Goal.objects.create(team=team, name="Theirs", created_by=stranger)
    text = as_stranger.get(f"/goals/{theirs.pk}/base-model/").content.decode()
    assert "Another team is installing it" in text
    assert f"/install/{made.pk}/" not in text


def test_progress_without_script_leads_back_to_the_page(as_owner, url, install):
    assert as_owner.get(url("progress", install().pk)).url == url("page")


def test_viewers_and_strangers_may_not(as_stranger, as_owner, url, install):
    made = install()
    assert as_stranger.get(url("page")).status_code == 404
    assert as_stranger.get(url("progress", made.pk), headers=HTMX).status_code == 404
    assert as_owner.post(url("page")).status_code == 405
    assert as_owner.post(url("progress", made.pk)).status_code == 405
