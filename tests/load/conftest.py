"""An installation with a deployed tuned model and an API key."""

import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import httpx
import openai
import psutil
import pytest

from finetune_app.basemodels.catalogue import STARTER
from tests.installation import Installation, started
from tests.worker.conftest import wait_for

EMAIL, PASSWORD = "mara@kettle.example", "correct horse battery"
PROCESSES = {
    "web": "gunicorn",
    "engine": "worker.engine.server",
    "clock": "manage.py clock",
    "light": "light@",
    "heavy": "heavy@",
    "broker": "valkey-server",
}


@dataclass(frozen=True)
class Live:
    """`model`: the name of the deployment."""

    installation: Installation
    key: str
    model: str
    client: openai.OpenAI

    def process(self, name: str) -> psutil.Process:
        """The current process of this name under `up`."""
        return self.processes(name)[0]

    def processes(self, name: str) -> list[psutil.Process]:
        """One, or none if this installation uses another's."""
        children = self.installation.process.children()
        return [one for one in children if PROCESSES[name] in " ".join(one.cmdline())]


@pytest.fixture(scope="session")
def live(tmp_path_factory) -> Iterator[Live]:
    with installation_with_model(tmp_path_factory.mktemp("load")) as found:
        yield found


@contextmanager
def installation_with_model(
    folder: Path, environment: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Live]:
    """`environment`: further variables, for instance of another database."""
    os.environ["FINETUNE_PASSWORD"] = PASSWORD  # read by create_owner
    with started(folder, environment) as installation:
        installation.manage("create_owner", EMAIL)
        del os.environ["FINETUNE_PASSWORD"]
        key = installation.manage(
            "apikey", "--requests-a-minute=10000", "--tokens-a-minute=10000000"
        )
        with openai.OpenAI(
            base_url=f"{installation.site}/v1", api_key=key, max_retries=0
        ) as client:
            job = train(client, rows=24, epochs=1)
            wait_for(lambda: status(client, job) == "succeeded", seconds=900)
            yield Live(installation, key, go_live(installation), client)


def train(client: openai.OpenAI, *, rows: int, epochs: int) -> str:
    """Start a training through the API; returns its id. Its answers have about 110 tokens."""
    lines = [
        json.dumps(
            {
                "messages": [
                    {"role": "user", "content": question(n)},
                    {"role": "assistant", "content": answer(n)},
                ]
            }
        )
        for n in range(100, 100 + 7 * rows, 7)
    ]
    file = client.files.create(file=("bikes.jsonl", "\n".join(lines).encode()), purpose="fine-tune")
    return client.fine_tuning.jobs.create(
        model=STARTER,
        training_file=file.id,
        suffix="bikes",
        hyperparameters={"n_epochs": epochs},
    ).id


def question(n: int) -> str:
    return f"Which bikes are ready, from {n} on?"


def answer(n: int) -> str:
    return ", ".join(f"bike {n + more} is ready" for more in range(12))


def status(client: openai.OpenAI, job: str) -> str:
    time.sleep(0.5)  # clients poll it
    found = client.fine_tuning.jobs.retrieve(job)
    assert found.status not in ("failed", "cancelled"), found.error
    return found.status


def go_live(installation: Installation) -> str:
    """Deploy through the page; returns the deployment's name."""
    page = "/goals/1/deployment/"
    with httpx.Client(base_url=installation.site, follow_redirects=True, timeout=120) as browser:
        send(browser, "/sign-in/", username=EMAIL, email=EMAIL, password=PASSWORD)
        tuned = re.findall(r'<option value="([^"]+)"', browser.get(page).text)[-1]
        found = send(browser, f"{page}go-live/", candidate=tuned).text
    return re.search(r"is live under the name ([\w-]+)", found).group(1)


def send(browser: httpx.Client, path: str, **fields: str) -> httpx.Response:
    if "csrftoken" not in browser.cookies:
        browser.get(path)
    token = {"X-CSRFToken": browser.cookies["csrftoken"], "Referer": f"{browser.base_url}"}
    found = browser.post(path, data=fields, headers=token)
    assert found.is_success, found.text
    return found
