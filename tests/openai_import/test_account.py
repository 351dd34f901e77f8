"""Jobs and their files are read from a connected account; nothing is changed there."""

import json

import pytest
from django.urls import reverse

from finetune_app.openai_import.models import OpenAIImport
from tests.openai_import.conftest import JOB
from tests.page_text import compact
from tests.remote_training.conftest import account, platform  # noqa: F401
from tests.remote_training.loopback import KEY, Fault

pytestmark = pytest.mark.django_db


@pytest.fixture
def trained(platform):  # noqa: F811
    """A job that ended there."""
    kept = {"hyperparameters": {}, "result_files": [], "trained_tokens": 9, "error": None}
    platform.jobs["ftjob-abc"] = JOB | kept
    return platform


def jobs_page(person, account):  # noqa: F811
    return person.post(reverse("openai_import:jobs", args=[account.pk]))


def fetch(person, account, job="ftjob-abc"):  # noqa: F811
    address = reverse("openai_import:fetch_job", args=[account.pk])
    return person.post(address, {"job": job}, follow=True)


def test_its_jobs_are_listed(as_editor, account, trained):  # noqa: F811
    trained.jobs["ftjob-rewards"] = JOB | {
        "id": "ftjob-rewards",
        "user_provided_suffix": None,
        "method": {"type": "reinforcement"},
    }
    page = compact(jobs_page(as_editor, account))
    assert "cards" in page
    assert "gpt-4o-mini-2024-07-18" in page
    assert "does not exist here" in page
    assert page.count("Bring it") == 1


def test_a_job_is_brought_with_its_file(as_editor, account, trained, training_file):  # noqa: F811
    content = training_file(30).read()
    trained.faults.append(Fault("GET", "/files/file-1/content", content=content))
    page = compact(fetch(as_editor, account))
    assert "30 examples" in page
    assert OpenAIImport.objects.get().job["job_id"] == "ftjob-abc"
    assert trained.posted == []


def test_a_file_that_is_gone(as_editor, account, trained):  # noqa: F811
    answer = fetch(as_editor, account)
    assert answer.status_code == 422
    assert "not there any more" in compact(answer)


def test_a_job_that_is_gone(as_editor, account, trained):  # noqa: F811
    assert fetch(as_editor, account, "ftjob-other").status_code == 422


@pytest.mark.parametrize("status", [401, 429, 500])
def test_a_platform_that_refuses(as_editor, account, trained, status):  # noqa: F811
    trained.faults.append(Fault("GET", "/fine_tuning/jobs", status=status))
    answer = jobs_page(as_editor, account)
    assert answer.status_code == 502
    assert KEY not in compact(answer)


@pytest.mark.parametrize(
    "hostile",
    [
        [],
        {"data": [{"id": "<script>alert(1)</script>", "status": ["a"], "method": 7}]},
        {"data": [JOB | {"created_at": 10**30, "method": {"type": {"a": 1}}}]},
        {"data": [JOB | {"hyperparameters": "x", "method": None, "fine_tuned_model": 9}]},
        {"data": "x"},
    ],
)
def test_a_hostile_list(as_editor, account, trained, hostile):  # noqa: F811
    content = json.dumps(hostile).encode()
    trained.faults.append(
        Fault(
            "GET",
            "/fine_tuning/jobs",
            content=content,
            headers={"Content-Type": "application/json"},
        )
    )
    answer = jobs_page(as_editor, account)
    assert answer.status_code in (200, 502)
    assert "<script>alert" not in answer.content.decode()


def test_another_teams_account(as_stranger, account, trained):  # noqa: F811
    assert jobs_page(as_stranger, account).status_code == 404
    assert fetch(as_stranger, account).status_code == 404


def test_a_viewer_may_not(as_viewer, account, trained):  # noqa: F811
    assert jobs_page(as_viewer, account).status_code == 403
    assert fetch(as_viewer, account).status_code == 403


def test_wrong_method(as_editor, account, trained):  # noqa: F811
    assert as_editor.get(reverse("openai_import:jobs", args=[account.pk])).status_code == 405
