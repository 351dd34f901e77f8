"""After a restore on another machine the models' files are missing."""

import re
import shutil

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from finetune_app.basemodels.models import BaseModel, BaseModelChoice, Install
from finetune_app.jobs.models import State
from tests.basemodels.conftest import HUB_ID, laid
from tests.page_text import compact

STARTER = "smollm2-135m-instruct"
GONE = "its files are missing"
IN_MEMORY = {"default": {"BACKEND": "django.core.files.storage.InMemoryStorage"}}


def row_of(client, url, name: str) -> str:
    """A model's row of the page."""
    rows = compact(client.get(url("page"))).split('<div class="model-row')
    return next(row for row in rows if f">{name}</label>" in row)


@pytest.mark.one_database
@pytest.mark.django_db(transaction=True)
def test_a_model_of_the_team_is_reinstalled_and_chosen_again(
    install, work, hub, tiny_model, as_editor, goal, url, data_dir
):
    hub.add(HUB_ID, tiny_model)
    work(install())
    model = BaseModel.objects.get()
    as_editor.post(url("choose"), {"base": model.slug})
    assert "Installed." in row_of(as_editor, url, "tiny")

    shutil.rmtree(data_dir / "models")
    row = row_of(as_editor, url, "tiny")
    assert GONE in row
    assert "Installed." not in row
    reply = as_editor.post(url("choose"), {"base": model.slug})
    assert reply.status_code == 400
    assert "Install it first." in reply.content.decode()

    source = re.search(r'name="source" value="([^"]+)"', row).group(1)
    as_editor.post(url("install"), {"source": source, "licence_accepted": "on"})
    assert work(Install.objects.first()).state == State.SUCCEEDED
    assert (data_dir / model.folder / "model.safetensors").exists()
    assert "Installed." in row_of(as_editor, url, "tiny")
    assert BaseModel.objects.get() == BaseModelChoice.objects.get(goal=goal).base_model == model
    assert as_editor.post(url("choose"), {"base": model.slug}).status_code == 302


def test_a_model_of_the_catalogue_can_be_reinstalled(as_editor, url, goal, data_dir):
    laid(STARTER, name="SmolLM2 135M")
    laid("smollm2-360m-instruct", name="SmolLM2 360M")
    shutil.rmtree(data_dir / "models" / STARTER)
    row = row_of(as_editor, url, "SmolLM2 135M")
    assert GONE in row
    assert 'value="HuggingFaceTB/SmolLM2-135M-Instruct"' in row
    assert "Installed." in row_of(as_editor, url, "SmolLM2 360M")


def test_a_folder_is_copied_again(as_editor, url, team, goal):
    BaseModel.objects.create(slug="ours", name="Ours", source="/models/ours", team=team)
    laid(STARTER)
    row = row_of(as_editor, url, "Ours")
    assert 'name="source" value="/models/ours"' in row
    assert "Read the licence" not in row


def test_a_model_in_remote_storage_is_installed(as_editor, url, goal, settings):
    settings.STORAGES = settings.STORAGES | IN_MEMORY
    BaseModel.objects.create(slug=STARTER, name="SmolLM2 135M", source="x")
    assert GONE in row_of(as_editor, url, "SmolLM2 135M")
    default_storage.save(f"models/{STARTER}/config.json", ContentFile(b"{}"))
    assert "Installed." in row_of(as_editor, url, "SmolLM2 135M")
    assert as_editor.post(url("choose"), {"base": STARTER}).status_code == 302


def test_a_viewer_sees_that_files_are_missing_and_no_button(as_viewer, url, goal):
    BaseModel.objects.create(slug=STARTER, name="SmolLM2 135M", source="x")
    row = row_of(as_viewer, url, "SmolLM2 135M")
    assert GONE in row
    assert 'name="source"' not in row
