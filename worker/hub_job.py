"""A training in a container of Hugging Face Jobs: the same loop, with files from and to the Hub.

`python -m worker.hub_job FOLDER` in a folder with what hub_training/packing.py has sent. Needs
HF_TOKEN (a secret of the job) and HF_ENDPOINT where it is another hub. There is no database.
What is told while it runs is committed as events.jsonl, so whoever follows needs no log.
"""

import hashlib
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TELL_SECONDS = 30.0  # between two commits of events
EVENTS, RESULT, ERROR = "events.jsonl", "result.json", "error.json"
TOLD = ("point", "sample", "warning", "phase")
MAX_POINTS = 8_000  # of the loss alone; more are not read (hub_training/results.py)
MEASURED = ("validation_loss", "validation_score", "general_ability")
MAX_TRIES = 5
MAX_RESULT_TRIES = 20  # what was paid for is not given up after half a minute
MAX_PAUSE_SECONDS = 60.0
DIFFERENT = (
    "{name} on the hub is not the file that this training was agreed to with. Install the base "
    "model again, then start another training."
)


class HubChannel:
    """A channel that collects events; `tell` commits them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: list[tuple[int, str]] = []  # with the step that thins it out; 0: it stays
        self._points = 0  # that may be thinned out
        self._every = 1  # steps from one of them to the next
        self._progress: dict[str, Any] = {}

    def emit(self, event: str, **fields: Any) -> None:
        from worker.child import plain

        with self._lock:
            if event == "progress":
                self._progress = {"event": event, **plain(fields)}
            elif event in TOLD:
                is_measured = any(fields.get(name) is not None for name in MEASURED)
                step = fields["step"] if event == "point" and not is_measured else 0
                self._add(step, json.dumps({"event": event, **plain(fields)}))
            else:
                print(event, fields, flush=True)

    def _add(self, step: int, line: str) -> None:
        """A long curve is thinned out evenly, but where it was measured: adapters are kept."""
        if step % self._every:
            return
        self._lines.append((step, line))
        self._points += bool(step)
        if self._points > MAX_POINTS:
            self._every *= 2
            self._lines = [one for one in self._lines if one[0] % self._every == 0]
            self._points = sum(bool(one[0]) for one in self._lines)

    def text(self) -> str:
        with self._lock:
            last = [json.dumps(self._progress)] if self._progress else []
            return "\n".join([*(line for _step, line in self._lines), *last]) + "\n"

    def stopping(self) -> bool:
        return False  # a container is cancelled, not stopped

    def check(self) -> None:
        """The hub runs a job once; there is no lease."""


def main(folder: Path) -> int:
    """Exit code 0 once the adapter is on the hub."""
    from django.conf import settings

    settings.configure(USE_I18N=False)
    order = json.loads((folder / "order.json").read_text())
    channel, done = HubChannel(), threading.Event()
    teller = threading.Thread(target=_tell, args=(order["result"], channel, done), daemon=True)
    teller.start()
    try:
        result = train(folder, order, channel)
    except Exception as error:
        traceback.print_exc()
        message = getattr(error, "message", "") or f"{type(error).__name__}: {error}"
        told = {"code": getattr(error, "code", "crash"), "message": str(message)[:2000]}
        done.set()
        teller.join()
        send(order["result"], {ERROR: json.dumps(told).encode(), EVENTS: channel.text().encode()})
        return 1
    done.set()
    teller.join()
    run = folder / "run"
    learned = [path for part in ("adapter", "steps") for path in (run / part).rglob("*")]
    files = {path.relative_to(run).as_posix(): path for path in learned if path.is_file()}
    told = {"result": result, "files": {name: _sha256(path) for name, path in files.items()}}
    texts = {RESULT: json.dumps(told).encode(), EVENTS: channel.text().encode()}
    send(order["result"], {**files, **texts}, tries=MAX_RESULT_TRIES)
    return 0


def train(folder: Path, order: Mapping[str, Any], channel: HubChannel) -> Mapping[str, Any]:
    """The result of the loop. Raises UserError."""
    from worker.channel import Job
    from worker.child import plain

    channel.emit("phase", phase="base", message="Fetching the base model")
    base = fetch_base(folder, order)
    from worker.training import loop

    spec = {**order["spec"], "base_model": str(base), "version": str(folder / order["rows"])}
    (folder / "run").mkdir(exist_ok=True)
    found: Mapping[str, Any] = plain(loop.run(Job("training", folder / "run", spec), channel))
    return found


def fetch_base(folder: Path, order: Mapping[str, Any]) -> Path:
    """The base model, each file the very one of the installation. Raises UserError."""
    from huggingface_hub import hf_hub_download

    from worker.channel import UserError

    base = folder / str(order["base"])
    for name in order["fetched"]:
        hf_hub_download(
            order["base_source"], name, revision=order["base_revision"], local_dir=str(base)
        )
    for name, sha256 in order["base_files"].items():
        if _sha256(base / name) != sha256:
            raise UserError("not_the_same", DIFFERENT.format(name=name))
    return base


def send(repository: str, files: Mapping[str, Path | bytes], *, tries: int = MAX_TRIES) -> None:
    """One commit, tried again while the hub does not answer."""
    from huggingface_hub import CommitOperationAdd, HfApi

    for attempt in range(1, tries + 1):
        try:
            HfApi().create_commit(
                repository,
                [CommitOperationAdd(name, content) for name, content in sorted(files.items())],
                commit_message="From the training",
                repo_type="model",
            )
            return
        except Exception:
            if attempt == tries:
                raise
            traceback.print_exc()
            time.sleep(min(2.0**attempt, MAX_PAUSE_SECONDS))


def _tell(repository: str, channel: HubChannel, done: threading.Event) -> None:
    """Commit the events now and then; a commit that fails is made up for by the next one."""
    last = ""
    while not done.wait(float(os.environ.get("FINETUNE_TELL_SECONDS", TELL_SECONDS))):
        if (text := channel.text()) != last:
            try:
                send(repository, {EVENTS: text.encode()})
                last = text
            except Exception:
                traceback.print_exc()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


if __name__ == "__main__":
    code = main(Path(sys.argv[1]))
    sys.stdout.flush()
    os._exit(code)  # libraries leave threads behind
