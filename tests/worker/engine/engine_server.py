"""An engine process with a tiny model, and requests to it."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from django.conf import settings as django_settings

from finetune_app.core import engine_client as client

SECRET = "only for this test"


MESSAGES = [{"role": "user", "content": "Hello there"}]


class EngineServer:
    """A server process and the folder it may read."""

    def __init__(self, data: Path, *options: str) -> None:
        self.data = data
        self.base = data / "base"
        self.socket = Path(tempfile.mkdtemp()) / "engine.sock"
        self.log = self.socket.with_name("engine.log")
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                self.command(*options),
                cwd=django_settings.BASE_DIR,
                env=self.environment(),
                stderr=log,
            )
        self.wait_until(self.is_ready)

    def is_ready(self) -> bool:
        return self.socket.exists()

    def command(self, *options: str) -> list[str]:
        module = "worker.engine.server"
        return [sys.executable, "-m", module, "--socket", str(self.socket), *options]

    def environment(self) -> dict[str, str]:
        env = {"FINETUNE_ENGINE_SECRET": SECRET, "FINETUNE_DATA_DIR": str(self.data)}
        log = {"FINETUNE_PROCESS": "engine", "LOG_LEVEL": "INFO", "LOG_FORMAT": "json"}
        return os.environ | env | log | {"OMP_NUM_THREADS": "1"}

    def wait_until(self, condition, seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "not true in time"
            time.sleep(0.05)

    def get(self, path: str, secret: str = SECRET) -> httpx.Response:
        transport = httpx.HTTPTransport(uds=str(self.socket))
        with httpx.Client(transport=transport, base_url="http://engine") as http:
            return http.get(path, headers={"X-Engine-Secret": secret})


def base_and_tuned(server: EngineServer) -> list[dict]:
    return [
        {"candidate": "base", "adapter": None, "messages": MESSAGES},
        {"candidate": "tuned", "adapter": str(server.data / "adapter"), "messages": MESSAGES},
    ]


async def chat_events(base: Path, requests: list[dict], **options) -> list[dict]:
    options = {"max_new_tokens": 30} | options
    return [event async for event in client.stream_chat(str(base), requests, **options)]


def text_of(events: list[dict], candidate: str) -> str:
    return "".join(e.get("text", "") for e in events if e["candidate"] == candidate)
