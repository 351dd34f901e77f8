"""Step 1: the files that OpenAI has are brought and looked into; nothing is made of them."""

import json
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone

from finetune_app.fine_tuning_api.models import ApiFile
from finetune_app.goals.models import Goal
from finetune_app.openai_import.models import OpenAIImport
from finetune_app.openai_import.periodic_tasks import delete_unfinished
from finetune_app.openai_import.services import LIFETIME
from tests.openai_import.conftest import SYSTEM
from tests.page_text import compact

pytestmark = pytest.mark.django_db
BRING = "openai_import:bring"


def bring(person, **files):
    return person.post(reverse(BRING), files, follow=True)


def test_a_job_with_its_file(as_editor, training_file, job_file):
    page = compact(bring(as_editor, training_file=training_file(), job_file=job_file))
    assert "20 examples" in page
    assert SYSTEM in page
    assert "My card number 0 is gone" in page
    assert "gpt-4o-mini-2024-07-18" in page
    item = OpenAIImport.objects.get()
    assert item.job["hyperparameters"] == {"n_epochs": 4, "learning_rate_multiplier": 1.8}
    assert item.job["name"] == "cards"
    assert not Goal.objects.exists()


def test_an_evaluation_alone(as_editor, suite_file):
    page = compact(bring(as_editor, suite_file=suite_file))
    assert "2 sealed test examples" in page
    assert "Where is my card?" in page
    assert "Right when" in page
    assert "latency" in page


def test_keys_that_are_not_read_are_named(as_editor, training_file):
    page = compact(bring(as_editor, training_file=training_file(store=True)))
    assert "“store” in 20 lines" in page


def test_files_expire_and_what_was_not_finished_goes(as_editor, training_file):
    bring(as_editor, training_file=training_file())
    assert ApiFile.objects.get().expires_at is not None
    item = OpenAIImport.objects.get()
    delete_unfinished()
    assert OpenAIImport.objects.exists()
    OpenAIImport.objects.update(created_at=timezone.now() - 2 * LIFETIME)
    delete_unfinished()
    assert as_editor.get(reverse("openai_import:check", args=[item.pk])).status_code == 404


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("training_file", b"not json", "Line 1"),
        ("training_file", b'{"messages": []}', "Line 1"),
        ("job_file", b"[]", "not a fine-tuning job"),
        ("job_file", b"[" * 10_000, "not a fine-tuning job"),
        ("suite_file", b"prompts: [", "Promptfoo configuration cannot be read"),
    ],
)
def test_a_bad_file_says_what_is_wrong(as_editor, training_file, name, content, why):
    files = {"training_file": training_file()} | {name: SimpleUploadedFile("file", content)}
    answer = bring(as_editor, **files)
    assert answer.status_code == 422
    assert why in compact(answer)
    assert not ApiFile.objects.exists()


def test_a_bad_file_leaves_nothing_in_the_store(
    as_editor, training_file, settings, django_capture_on_commit_callbacks
):
    folder = Path(settings.DATA_DIR) / "api-files"
    before = set(folder.glob("*"))
    bad = SimpleUploadedFile("bad.jsonl", b"not json")
    with django_capture_on_commit_callbacks(execute=True):
        bring(as_editor, training_file=bad, validation_file=training_file())
    assert set(folder.glob("*")) == before


def test_a_job_that_learned_from_rewards_is_refused(as_editor, training_file):
    job = {"training_file": "file-1", "method": {"type": "reinforcement"}}
    job_file = SimpleUploadedFile("job.json", json.dumps(job).encode())
    answer = bring(as_editor, training_file=training_file(), job_file=job_file)
    assert answer.status_code == 422
    assert "reinforcement" in compact(answer)


def test_nothing_chosen(as_editor):
    answer = bring(as_editor)
    assert answer.status_code == 422
    assert "Choose a training file" in compact(answer)


def test_a_viewer_may_not(as_viewer):
    assert as_viewer.get(reverse(BRING)).status_code == 403
    assert as_viewer.post(reverse(BRING)).status_code == 403


def test_another_team_does_not_see_it(as_editor, as_stranger, training_file):
    bring(as_editor, training_file=training_file())
    address = reverse("openai_import:check", args=[OpenAIImport.objects.get().pk])
    assert as_stranger.get(address).status_code == 404
    assert as_stranger.post(address).status_code == 404
