"""The id of a request can be followed to the job that it starts and to that job's child."""

import asyncio
import json

import httpx
import pytest

from finetune_app.asgi import application
from finetune_app.checks import services as checks
from finetune_app.core import logs
from finetune_app.core.logs import ContextFilter
from finetune_app.core.request_ids import HEADER
from finetune_app.datasets import services as datasets
from finetune_app.jobs import services
from finetune_app.jobs.models import Job, State
from tests.example_rows import conversation, pair
from worker import tasks


@pytest.fixture
def _large_dataset(transactional_db, goal, owner, monkeypatch):
    monkeypatch.setattr(checks, "MAX_ROWS_IN_REQUEST", 10)
    monkeypatch.setattr(services, "wake_worker", lambda job: True)
    rows = [{"messages": conversation(*pair(n))} for n in range(20)]
    datasets.add_rows(dataset=datasets.dataset_of(goal), by=owner, rows=rows, source="a test")


async def post(path: str, session: str, request_id: str) -> httpx.Response:
    """POST to the application, with the token that its forms carry."""
    transport = httpx.ASGITransport(app=application)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://localhost", cookies={"sessionid": session}
    ) as http:
        await http.get("/account/")
        headers = {HEADER: request_id, "X-CSRFToken": http.cookies["csrftoken"]}
        return await http.post(path, headers=headers)


@pytest.mark.usefixtures("_large_dataset")
def test_an_id_is_on_the_response_the_job_and_the_lines_of_its_child(
    goal, as_editor, monkeypatch, data_dir, caplog
):
    monkeypatch.setenv("LOG_LEVEL", "INFO")
    monkeypatch.setenv("LOG_FORMAT", "json")
    caplog.set_level("INFO")
    caplog.handler.addFilter(ContextFilter())

    session = as_editor.cookies["sessionid"].value
    response = asyncio.run(post(f"/goals/{goal.pk}/dataset/check/", session, "follow-me"))
    assert (response.status_code, response.headers[HEADER]) == (302, "follow-me")
    job = Job.objects.get()
    assert job.request_id == "follow-me"

    tasks.run_light(job.pk)
    assert Job.objects.get().state == State.SUCCEEDED
    said = {record.getMessage(): record.request_id for record in caplog.records}
    assert said[f"job {job.pk}: queued (check)"] == "follow-me"  # the web's
    assert said[f"job {job.pk}: taken (check, attempt 1)"] == "follow-me"  # the worker's
    lines = (data_dir / "logs" / f"job-{job.pk}.log").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    assert {(event["process"], event["request_id"], event["job_id"]) for event in events} == {
        ("child", "follow-me", job.pk)
    }
    assert [event["message"] for event in events] == ["check: started", "check: ended"]


def test_continuing_a_job_gives_it_the_new_request(transactional_db, team, monkeypatch):
    monkeypatch.setattr(services, "wake_worker", lambda job: True)
    job = services.create(team=team, kind="check", title="Check", spec={})
    services.ask_stop(job)
    with logs.context(request="second", job=job.pk):
        assert services.ask_continue(job)
    assert Job.objects.get().request_id == "second"
