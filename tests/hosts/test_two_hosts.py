"""A host is killed, and the work goes on at the other: trainings, answers, uploads, sign-ins.

python -m pytest -s -m long tests/hosts      prints what it measured
"""

import asyncio
import time

import httpx
import pytest
from django.conf import settings as django_settings

from finetune_app.core import engine_client, engines
from finetune_app.core.files import names_below
from finetune_app.datasets.models import Import
from finetune_app.imports.models import Upload
from finetune_app.jobs.models import Job, State
from finetune_app.training.models import Training
from tests.conftest import signed_in
from tests.hosts.conftest import answers, needs_namespaces, stored_steps, stored_training
from tests.starter import needs_starter
from tests.worker.conftest import wait_for

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800), needs_starter, needs_namespaces]

MOST_SECONDS = 300.0  # for anything that a slow machine does
UPLOAD_BYTES = 40_000_000


@pytest.fixture
def training(new_host, team) -> Training:
    return stored_training(team, epochs=6)


def row(training: Training) -> Job:
    return Job.objects.get(pk=training.job_id)


def test_a_training_goes_on_at_the_other_host(new_host, training):
    one, two = new_host("one"), new_host("two")
    one.start_heavy()
    one.manage("clock")
    wait_for(lambda: max(stored_steps(training), default=0) > 1, MOST_SECONDS)
    wait_for(lambda: row(training).done >= 12, MOST_SECONDS)
    one.kill()
    killed_at, reached, kept = time.monotonic(), row(training).done, max(stored_steps(training))
    assert row(training).worker.startswith("one-")
    two.start_heavy()
    two.manage("clock")
    wait_for(lambda: row(training).worker.startswith("two-"), MOST_SECONDS)
    taken = time.monotonic() - killed_at
    wait_for(lambda: row(training).running_at, MOST_SECONDS)
    first_step = row(training).result["resumed_at"]  # that was done there
    wait_for(lambda: row(training).state == State.SUCCEEDED, MOST_SECONDS)
    print(f"killed at step {reached}, went on with step {first_step}, taken {taken:.0f} s later")
    assert kept < first_step <= reached + 1
    assert f"{training.folder}/adapter/adapter_model.safetensors" in names_below(training.folder)
    wait_for(lambda: stored_steps(training) == [])  # of no use any more


def test_when_an_engine_is_killed_the_other_answers(new_host, training, settings):
    hosts = [new_host("one"), new_host("two")]
    for host in hosts:
        host.start_engine()
    settings.ENGINES = tuple(host.engine for host in hosts)
    for host in hosts:
        wait_for(lambda host=host: answers(host.engine), MOST_SECONDS)

    def ask(engine: str = "") -> str:
        """Of one engine, or of whichever is chosen."""
        settings.ENGINES = (engine,) if engine else tuple(host.engine for host in hosts)
        folder = str(django_settings.DATA_DIR / training.base_model.folder)
        requests = [{"candidate": "0", "messages": [{"role": "user", "content": "Hello"}]}]

        async def told() -> str:
            stream = engine_client.stream_chat(
                folder, requests, max_new_tokens=8, number_format="fp32"
            )
            return "".join([event.get("text", "") async for event in stream])

        return asyncio.run(told())

    assert ask(hosts[0].engine) == ask(hosts[1].engine) != ""  # each fetched the model
    for host in hosts:
        assert (host.data_dir / training.base_model.folder / "model.safetensors").exists()
    ask()
    hosts[0].kill()
    started = time.monotonic()
    assert ask()
    seconds = time.monotonic() - started
    print(f"an engine was killed: the next answer of 8 tokens came after {seconds:.1f} s")
    assert engines.pool().engines[0].is_away()


def test_a_person_and_an_upload_go_from_web_to_web(new_host, training, owner):
    hosts = [new_host("one"), new_host("two")]
    for host in hosts:
        host.start_web()
    browser = signed_in(owner)
    cookies = {name: cookie.value for name, cookie in browser.cookies.items()}
    webs = [
        httpx.Client(base_url=f"http://127.0.0.1:{host.web_port}", cookies=cookies, timeout=60)
        for host in hosts
    ]
    for host in hosts:
        wait_for(lambda host=host: answers(f"127.0.0.1:{host.web_port}"), MOST_SECONDS)
    tokens = [token_of(web) for web in webs]
    content = b"prompt,answer\n" + b"What is it?,It is a bicycle of the shop.\n" * (
        UPLOAD_BYTES // 41
    )
    place = f"/goals/{training.goal_id}/dataset/uploads/"
    begun = webs[0].post(place, data={"name": "large.csv", "size": len(content)}, headers=tokens[0])
    assert begun.status_code == 201, begun.text[:500]
    state, started, at = begun.json(), time.monotonic(), 0
    while state["received"] < state["size"]:
        chunk = content[state["received"] : state["received"] + state["chunk_bytes"]]
        web, token = webs[at % 2], tokens[at % 2]
        told = web.put(f"{state['url']}?offset={state['received']}", content=chunk, headers=token)
        assert told.status_code == 200, told.text[:500]
        state, at = told.json(), at + 1
    done = webs[1].post(state["url"], headers=tokens[1])
    assert done.status_code == 200, done.text[:500]
    seconds = time.monotonic() - started
    print(f"{len(content) / 1e6:.0f} MB in {at} pieces through two webs in {seconds:.1f} s")
    stored = Import.objects.get().stored_name
    assert not Upload.objects.exists()
    assert names_below(stored.rpartition("/")[0]) == [stored]


def token_of(web: httpx.Client) -> dict[str, str]:
    """The header that forms need, of a page that only somebody who is signed in gets."""
    page = web.get("/")
    assert page.status_code == 200, page.headers
    return {"X-CSRFToken": page.text.split('X-CSRFToken": "')[1].split('"')[0]}
