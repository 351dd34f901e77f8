"""Steps 2 and 3: a goal, its dataset and its training are made of what was brought, once."""

from types import SimpleNamespace
from typing import IO

import pytest
from django.core.files.storage import default_storage
from django.db import connection
from django.urls import reverse

from finetune_app.datasets import services as datasets
from finetune_app.fine_tuning_api.models import FineTuningJob
from finetune_app.goals.models import Goal, Method
from finetune_app.openai_import.models import OpenAIImport
from finetune_app.versions import services as versions
from tests.journey import install
from tests.page_text import compact

pytestmark = pytest.mark.django_db
MADE = {"name": "Cards", "base_model": "tiny"}


@pytest.fixture(autouse=True)
def base_model(db):
    return install("tiny")


@pytest.fixture
def bring(as_editor):
    def brought(**files) -> str:
        """The address of step 2."""
        as_editor.post(reverse("openai_import:bring"), files)
        return reverse("openai_import:check", args=[OpenAIImport.objects.get().pk])

    return brought


def rows_by_split(goal: Goal) -> dict[str, int]:
    examples = datasets.dataset_of(goal).examples.all()
    return {
        split: examples.filter(split=split).count() for split in ("train", "validation", "test")
    }


def test_a_job_becomes_a_goal_with_its_training(as_editor, editor, bring, training_file, job_file):
    address = bring(training_file=training_file(60), job_file=job_file)
    page = as_editor.get(address)
    assert page.context["form"].initial["n_epochs"] == 4
    assert page.context["form"].initial["name"] == "cards"
    settings = {"n_epochs": 4, "learning_rate_multiplier": 1.8}
    page = compact(as_editor.post(address, MADE | settings, follow=True))
    job = FineTuningJob.objects.get()
    assert job.tuned_model_name in page
    assert "gpt-4o-mini-2024-07-18" in page
    assert job.goal.name == "Cards"
    assert job.goal.created_by == editor
    assert job.metadata == {"openai_job": "ftjob-abc"}
    assert job.seed == 42
    assert job.training.spec["epochs"] == 4
    assert job.training.base_model.slug == "tiny"
    assert sum(rows_by_split(job.goal).values()) == 60
    messages = datasets.dataset_of(job.goal).examples.first().messages
    assert messages[0] == {"role": "system", "content": "Answer with one label."}


def test_its_evaluation_comes_along(as_editor, bring, training_file, suite_file):
    as_editor.post(bring(training_file=training_file(60), suite_file=suite_file), MADE)
    goal = Goal.objects.get()
    assert goal.measure == "exact"
    tests = datasets.dataset_of(goal).examples.filter(split="test")
    assert {"Where is my card?", "Is it yes or no?"} <= {
        one.messages[1]["content"] for one in tests
    }


def test_a_validation_file_is_held_back(as_editor, bring, training_file):
    held_back = training_file(20, first=60)
    as_editor.post(bring(training_file=training_file(60), validation_file=held_back), MADE)
    assert rows_by_split(Goal.objects.get()) == {"train": 60, "validation": 10, "test": 10}


def test_an_evaluation_alone_becomes_questions_to_test_with(as_editor, bring, suite_file):
    page = compact(as_editor.post(bring(suite_file=suite_file), {"name": "Cards"}, follow=True))
    assert "Your tests are here." in page
    goal = Goal.objects.get()
    assert (goal.method, goal.measure) == (Method.PROMPT, "exact")
    assert rows_by_split(goal) == {"train": 0, "validation": 0, "test": 2}
    assert not FineTuningJob.objects.exists()


def test_questions_in_both_files_make_nothing(as_editor, bring, training_file):
    address = bring(training_file=training_file(60), validation_file=training_file(20))
    answer = as_editor.post(address, MADE)
    assert answer.status_code == 422
    assert "message error" in compact(answer)
    assert not Goal.objects.exists()
    assert not FineTuningJob.objects.exists()
    assert as_editor.get(address).status_code == 200  # other settings may be tried


def test_twice_makes_one_goal(as_editor, bring, training_file):
    address = bring(training_file=training_file(60))
    for _again in range(2):
        assert as_editor.post(address, MADE, follow=True).status_code == 200
    assert Goal.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_large_files_are_read_and_frozen_outside_of_a_transaction(
    as_editor, bring, training_file, monkeypatch
):
    """On SQLite, nobody else can write while one is open."""
    address = bring(training_file=training_file(60), validation_file=training_file(20, first=60))
    inside = []

    def opened(name: str) -> IO[bytes]:
        inside.append(connection.in_atomic_block)
        return default_storage.open(name)

    def frozen(**given):
        inside.append(connection.in_atomic_block)
        return freeze(**given)

    freeze = versions.freeze
    storage = SimpleNamespace(open=opened)
    monkeypatch.setattr("finetune_app.fine_tuning_api.training_file.default_storage", storage)
    monkeypatch.setattr(versions, "freeze", frozen)
    as_editor.post(address, MADE)
    assert FineTuningJob.objects.get().training
    assert inside == [False, False, False]


def test_too_few_examples_make_nothing(as_editor, bring, training_file):
    answer = as_editor.post(reverse("openai_import:bring"), {"training_file": training_file(3)})
    assert answer.status_code == 422
    assert "at least" in compact(answer)
    assert not OpenAIImport.objects.exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"base_model": "gpt-4o-mini"},
        {"n_epochs": 1_000},
        {"learning_rate_multiplier": "nan"},
        {"batch_size": -1},
    ],
)
def test_wrong_settings_make_nothing(as_editor, bring, training_file, wrong):
    answer = as_editor.post(bring(training_file=training_file(60)), MADE | wrong)
    assert answer.status_code == 422
    assert not Goal.objects.exists()


def test_without_a_base_model_nothing_is_made(as_editor, bring, training_file, base_model):
    address = bring(training_file=training_file(60))
    base_model.delete()
    assert "No base model is installed" in compact(as_editor.get(address))
    assert as_editor.post(address, MADE).status_code == 422
    assert not Goal.objects.exists()


def test_a_viewer_may_not(as_viewer, as_editor, bring, training_file):
    address = bring(training_file=training_file(60))
    assert as_viewer.post(address, MADE).status_code == 403
    assert not Goal.objects.exists()
