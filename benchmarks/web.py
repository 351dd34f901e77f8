"""What the web adds to a request and to a token of a model of this installation.

    python -m benchmarks.web [--streams 1 32] [--requests 128] [--tokens 64]

A stand-in for the engine answers on its socket at once, with the engine's own code around it
(worker/engine/server.py); so all that is measured is HTTP and the web. The same streams ask it at
its socket, and the chat completions of a web process before it, over HTTP, streamed: of a base
model and of a deployed tuned one. Prints milliseconds of the web process per request and per token,
told apart by answers of 1 token and of many, and the time that a request takes longer than at the
socket.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil

ROOT = Path(__file__).resolve().parent.parent
MESSAGES = [{"role": "user", "content": "Where is my bicycle?"}]
SLUG, FOLDER, LIVE = "stand-in", "models/stand-in", "stand-in-live"
ADD_MODELS = f"""
from finetune_app.accounts.models import Team
from finetune_app.basemodels.models import BaseModel
from finetune_app.candidates.models import Candidate
from finetune_app.core.files import local_folder
from finetune_app.datasets.models import Dataset
from finetune_app.deployment.models import Deployment
from finetune_app.goals.models import Goal
from finetune_app.jobs.models import Job
from finetune_app.training.models import Training
from finetune_app.versions.models import Version

team = Team.objects.get()
goal = Goal.objects.create(team=team, name="Sort letters")
base = BaseModel.objects.create(slug="{SLUG}", name="Stand-in", parameters=1, context=2048)
version = Version.objects.create(
    dataset=Dataset.objects.create(goal=goal), number=1, counts=dict(), longest=1, characters=1
)
training = Training.objects.create(
    goal=goal,
    number=1,
    version=version,
    base_model=base,
    job=Job.objects.create(team=team, kind="training"),
    adapter_sha256="2" * 64,
)
tuned = Candidate.objects.create(
    goal=goal,
    kind="tuned",
    name="Tuned",
    base_model=base,
    training=training,
    number_format="bf16",
    instructions="Answer with one label.",
)
live = Deployment.objects.create(team=team, goal=goal, name="{LIVE}")
live.releases.create(number=1, candidate=tuned)
adapter = local_folder(tuned.adapter_folder)
adapter.mkdir(parents=True)
(adapter / "adapter_config.json").write_text("{{}}")
"""


# ---- The stand-in for the engine ----


def stand_in(place: Path, data: Path) -> None:
    """Serve the engine's own application over a backend that computes nothing."""
    import uvicorn

    from finetune_app.core.vllm_installation import find_vllm
    from worker.engine.backend import Handle, Listener
    from worker.engine.backend_selector import BackendSelector
    from worker.engine.model_manager import ModelManager
    from worker.engine.request_queue import RequestQueue
    from worker.engine.requests import Completion, GenerationRequest
    from worker.engine.server import listen, make_app

    class Instant:
        kind, number_format, memory_bytes, wait_seconds = "own", "bf16", 0, 0.0
        folder, adapter_folders, merged_adapter = data / FOLDER, (), None

        def prepare(self, requests: Any) -> Any:
            return requests

        def submit(self, request: GenerationRequest, listener: Listener) -> Handle:
            handle = Handle(listener)
            for _ in range(request.max_new_tokens):
                handle.tokens += 1
                handle.put(" word")
            handle.put(Completion("", handle.tokens, "length", 0.0))
            return handle

        def close(self) -> None:
            pass

    class Selector(BackendSelector):
        def kind(self, base: Path, number_format: str) -> str:
            return Instant.kind

        def open(self, base: Path, number_format: str) -> Any:
            return Instant()

    models = ModelManager(
        data, RequestQueue(1000), selector=Selector(find_vllm(), data / "vllm.log")
    )
    app = make_app(models, os.environ["FINETUNE_ENGINE_SECRET"])
    server = uvicorn.Server(uvicorn.Config(app, access_log=False, log_level="warning"))
    server.run(sockets=[listen(place)])


# ---- An installation before it ----


class Installation:
    """A web process, the stand-in, and how to ask each."""

    def __init__(self, data: Path, port: int) -> None:
        self.data, self.port = data, port
        self.environment = os.environ | {
            "DATA_DIR": str(data),
            "PORT": str(port),
            "WEB_PROCESSES": "1",
            "DJANGO_SETTINGS_MODULE": "finetune_app.settings",
            "FINETUNE_PASSWORD": "correct horse battery",
            "LOG_LEVEL": "ERROR",
        }
        self.processes: list[subprocess.Popen[bytes]] = []
        self.socket = data / "run" / "engine.sock"
        self._manage("prepare", "--without-starter")
        self._manage("create_owner", "mara@kettle.example")
        (data / FOLDER).mkdir(parents=True)
        (data / FOLDER / "config.json").write_text("{}")
        self._manage("shell", "-c", ADD_MODELS)
        limits = ("--requests-a-minute=1000000", "--tokens-a-minute=1000000000")
        self.key = self._manage("apikey", *limits).splitlines()[-1]
        secrets = "from django.conf import settings; print(settings.ENGINE_SECRET)"
        self.secret = self._manage("shell", "-c", secrets).splitlines()[-1]
        self.start(
            sys.executable, "-m", "benchmarks.web", "--stand-in", str(self.socket), str(data)
        )
        web = ("-c", "python:finetune_app.web_server")
        self.start(sys.executable, "-m", "gunicorn", "finetune_app.asgi:application", *web)

    def start(self, *command: str) -> None:
        names = {"FINETUNE_ENGINE_SECRET": self.secret, "FINETUNE_WEB": "1"}
        self.processes.append(subprocess.Popen(command, cwd=ROOT, env=self.environment | names))

    def end(self) -> None:
        for process in self.processes:
            process.terminate()
            process.wait()

    def web_seconds(self) -> float:
        """Processor time of the web so far."""
        web = psutil.Process(self.processes[-1].pid)
        times = [one.cpu_times() for one in web.children()]
        return sum(one.user + one.system for one in times)

    def at_the_web(self, model: str) -> tuple[httpx.Client, str, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self.key}"}
        client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=headers)
        return (
            client,
            "/v1/chat/completions",
            {"model": model, "messages": MESSAGES, "stream": True},
        )

    def at_the_socket(self) -> tuple[httpx.Client, str, dict[str, Any]]:
        transport = httpx.HTTPTransport(uds=str(self.socket), verify=False)
        headers = {"X-Engine-Secret": self.secret}
        client = httpx.Client(transport=transport, base_url="http://engine", headers=headers)
        request = {"candidate": "0", "adapter": None, "messages": MESSAGES}
        base = str((self.data / FOLDER).resolve())
        return client, "/chat", {"base_model": base, "requests": [request]}

    def _manage(self, *words: str) -> str:
        command = [sys.executable, "manage.py", *words]
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, check=True, stdout=subprocess.PIPE, text=True
        )
        return done.stdout.strip()


@contextlib.contextmanager
def installation() -> Iterator[Installation]:
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        found = Installation(Path(folder).resolve(), port)
        try:
            wait_until_it_answers(found)
            yield found
        finally:
            found.end()


def wait_until_it_answers(found: Installation) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            for client, path, body in (found.at_the_socket(), found.at_the_web(SLUG)):
                ask(client, path, {**body, "max_new_tokens": 1, "max_tokens": 1})
            return
        except (httpx.HTTPError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


# ---- Asking ----


def ask(client: httpx.Client, path: str, body: dict[str, Any]) -> float:
    """Seconds until the whole answer is there."""
    began = time.perf_counter()
    with client.stream("POST", path, json=body, timeout=60) as reply:
        if not reply.is_success:
            raise RuntimeError(f"{reply.status_code}: {reply.read().decode()}")
        for _line in reply.iter_lines():
            pass
    return time.perf_counter() - began


def all_streams(
    way: tuple[httpx.Client, str, dict[str, Any]], streams: int, requests: int, tokens: int
) -> float:
    """The median of the seconds that a request takes."""
    client, path, body = way
    body = {**body, "max_tokens" if path.startswith("/v1") else "max_new_tokens": tokens}
    with ThreadPoolExecutor(streams) as pool:
        work = [pool.submit(ask, client, path, body) for _ in range(requests)]
        return statistics.median(one.result() for one in work)


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    given.add_argument("--streams", type=int, nargs="+", default=[1, 32])
    given.add_argument("--requests", type=int, default=128)
    given.add_argument("--tokens", type=int, default=64)
    given.add_argument("--stand-in", nargs=2, type=Path, help=argparse.SUPPRESS)
    asked = given.parse_args()
    if asked.stand_in:
        stand_in(*asked.stand_in)
        return
    with installation() as found:
        print(
            "| model | streams | web, ms a request | ms a token "
            "| longer than at the socket, ms a request |"
        )
        print("|---|---|---|---|---|")
        for streams in asked.streams:
            for model in (SLUG, LIVE):
                print(row(found, model, streams, asked.requests, asked.tokens), flush=True)


def row(found: Installation, model: str, streams: int, requests: int, tokens: int) -> str:
    spent, longer = {}, {}
    for length in (1, tokens):
        all_streams(found.at_the_web(model), streams, 2 * streams, length)  # connections are open
        socket_takes = all_streams(found.at_the_socket(), streams, requests, length)
        before = found.web_seconds()
        web_takes = all_streams(found.at_the_web(model), streams, requests, length)
        spent[length] = 1000 * (found.web_seconds() - before) / requests
        longer[length] = 1000 * (web_takes - socket_takes)
    a_token = (spent[tokens] - spent[1]) / (tokens - 1)
    later = ", ".join(f"{more:.0f} with {length} tokens" for length, more in longer.items())
    return f"| {model} | {streams} | {spent[1]:.1f} | {a_token:.2f} | {later} |"


if __name__ == "__main__":
    main()
