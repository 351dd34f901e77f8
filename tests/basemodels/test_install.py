"""Installing a model from a folder, in a real child process, and from a hub."""

import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.conf import settings as configured
from django.db import connection

from finetune_app.basemodels import services
from finetune_app.basemodels.models import BaseModel, Install
from finetune_app.core.errors import PlainError
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import Job, State
from tests.basemodels.conftest import HUB_ID, laid

FORM = {"licence_accepted": "on"}


@pytest.mark.one_database
@pytest.mark.django_db(transaction=True)
def test_a_folder_becomes_a_model_of_the_team(install, work_in_a_child, tiny_model, team, data_dir):
    made = install(tiny_model)
    job = work_in_a_child(made)
    assert (job.state, job.message) == (State.SUCCEEDED, "Done.")
    model = BaseModel.objects.get()
    assert model.team == team
    assert model.slug == made.slug
    assert model.architecture == "Qwen2ForCausalLM"
    assert model.context == 4096
    folder = data_dir / model.folder
    copied = (folder / "model.safetensors").read_bytes()
    assert copied == (tiny_model / "model.safetensors").read_bytes()
    assert model.files.keys() <= {path.name for path in folder.iterdir()}
    assert not (data_dir / made.folder).exists()
    assert (job.done, job.unit) == (job.total, "bytes")


@pytest.mark.one_database
@pytest.mark.django_db(transaction=True)
def test_a_model_of_the_catalogue_is_for_everybody(install, work, hub, tiny_model):
    hub.add("Qwen/Qwen2.5-0.5B-Instruct", tiny_model)
    assert work(install("qwen/qwen2.5-0.5b-instruct")).state == State.SUCCEEDED
    model = BaseModel.objects.get()
    assert model.team is None
    assert (model.slug, model.name) == ("qwen2-5-0-5b-instruct", "Qwen2.5 0.5B")
    assert model.licence == "Apache 2.0"
    assert model.revision == "5" * 40


@pytest.mark.skipif(configured.ON_SQLITE, reason="of PostgreSQL")
@pytest.mark.django_db(transaction=True)
def test_two_clicks_at_once_are_one_install(install, monkeypatch):
    create = jobs.create

    def slowly(**facts: object) -> Job:
        time.sleep(0.3)  # so that the other has looked before this one is there
        return create(**facts)

    def click(_number: int) -> int:
        try:
            return install().pk
        finally:
            connection.close()

    monkeypatch.setattr(jobs, "create", slowly)
    with ThreadPoolExecutor(2) as pool:
        assert len(set(pool.map(click, range(2)))) == 1


@pytest.mark.one_database
@pytest.mark.django_db(transaction=True)
def test_a_model_that_cannot_be_taken_leaves_nothing_behind(
    install, work, tiny_model, tmp_path, data_dir
):
    spoilt = shutil.copytree(tiny_model, tmp_path / "spoilt")
    (spoilt / "chat_template.jinja").unlink()
    made = install(spoilt)
    job = work(made)
    assert (job.state, job.error_code) == (State.FAILED, "bad_model")
    assert "Choose its “instruct”" in job.message
    assert not Install.objects.get(pk=made.pk).can_continue
    assert not (data_dir / made.folder).exists()
    assert not BaseModel.objects.exists()


def test_the_page_queues_it_and_remembers_who_accepted(asleep, as_editor, editor, team, url):
    reply = as_editor.post(url("install"), FORM | {"source": " kettle/tiny "})
    made = Install.objects.get()
    assert (reply.status_code, reply.url) == (302, f"{url('page')}#install-{made.pk}")
    assert (made.source, made.from_folder, made.team) == (HUB_ID, False, team)
    assert made.licence_accepted_by == editor
    assert made.job.state == State.QUEUED
    assert "tiny" in as_editor.get(url("page")).content.decode()


def test_a_folder_is_told_from_a_hub_id(asleep, as_owner, url):
    as_owner.post(url("install"), FORM | {"source": "/models/tiny"})
    assert Install.objects.get().from_folder


def test_without_the_licence_nothing_happens(asleep, as_owner, url):
    reply = as_owner.post(url("install"), {"source": HUB_ID})
    assert reply.status_code == 422
    assert "Read the licence and accept it first." in reply.content.decode()
    assert not Install.objects.exists()


@pytest.mark.parametrize(
    "source",
    [
        "",
        "tiny",
        "a/b/c",
        "../x",
        "a/..",
        "../../etc",
        "a/b?x=1",
        "http://a/b",
        "a b/c",
        "a/é",
        "a/b\nc",
        "~/models",
        "./models/x",
        "-x/y",
    ],
)
def test_an_invalid_hub_id_is_shown_beside_the_field(asleep, as_owner, url, source):
    reply = as_owner.post(url("install"), FORM | {"source": source})
    assert reply.status_code == 422
    assert not Install.objects.exists()
    assert not Job.objects.exists()


def test_a_second_click_changes_nothing(install):
    assert install(HUB_ID) == install(HUB_ID)
    assert Job.objects.count() == 1


def test_a_stopped_install_continues(install):
    first = install(HUB_ID)
    Job.objects.update(state=State.FAILED, error_code="no_network")
    assert install(HUB_ID) == first
    assert Job.objects.get().state == State.QUEUED


def test_an_installed_model_is_not_fetched_again(install, as_owner, url, goal):
    laid("smollm2-135m-instruct")
    with pytest.raises(PlainError, match="installed already"):
        install("HuggingFaceTB/SmolLM2-135M-Instruct")


def test_two_teams_may_install_models_of_the_same_name(install, stranger, goal):
    mine = install("/models/tiny")
    theirs = services.install(
        team=stranger.memberships.get().team,
        user=stranger,
        source="/models/tiny",
        licence_accepted=True,
        from_folder=True,
    )
    assert mine.slug != theirs.slug
    assert install("/elsewhere/tiny").slug not in (mine.slug, theirs.slug)


def test_viewers_and_strangers_may_not(asleep, as_viewer, as_stranger, as_owner, url):
    assert as_viewer.post(url("install"), FORM | {"source": HUB_ID}).status_code == 403
    assert as_stranger.post(url("install"), FORM | {"source": HUB_ID}).status_code == 404
    assert as_owner.get(url("install")).status_code == 405
    assert not Install.objects.exists()
