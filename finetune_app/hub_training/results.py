"""What the worker on the hub has left in the repository of its results.

Nothing of it is trusted: names, types, sizes and hashes are checked.
"""

import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

from finetune_app.core.errors import PlainError
from finetune_app.core.storable_text import storable
from finetune_app.hub_training.models import HubTraining
from finetune_app.hub_training.platform import HubFile, HubJobs
from finetune_app.remote_training.platforms.contract import PlatformError

EVENTS, RESULT, ERROR = "events.jsonl", "result.json", "error.json"
ADAPTER_FILE = re.compile(
    r"(?:adapter(?:/additional_chat_templates)?|steps/[0-9]{1,12})/[A-Za-z0-9][A-Za-z0-9_.-]{0,80}"
    r"\.(?:safetensors|json|jinja|txt|model|md)",
    re.ASCII,
)
NEEDED = ("adapter/adapter_model.safetensors", "adapter/adapter_config.json")
MAX_FILES, MAX_BYTES = 1_000, 20_000_000_000
MAX_TOLD_BYTES = 8_000_000  # of events.jsonl, result.json and error.json
MAX_EVENTS, MAX_TEXT, MAX_NUMBER = 20_000, 20_000, 10**15
NUMBERS = (
    "epoch",
    "loss",
    "accuracy",
    "validation_loss",
    "validation_accuracy",
    "validation_score",
    "general_ability",
    "tokens_per_second",
    "memory_bytes",
)
# Of the loop's result (training/protocol.py); what is not named here is left out.
RESULT_WHOLE = ("steps", "best_step", "tokens", "peak_memory_bytes")
RESULT_NUMBERS = (
    "train_loss",
    "validation_loss",
    "validation_score",
    "work",
    "seconds",
    "validation_seconds",
)


def read_events(hub: HubJobs, training: HubTraining) -> list[dict[str, Any]]:
    """What was told so far, the newest of too much; [] where nothing can be read."""
    text = _read_text(hub, training, EVENTS)
    found = [_event(line) for line in text.splitlines()[-MAX_EVENTS:]]
    return [event for event in found if event]


def read_error(hub: HubJobs, training: HubTraining) -> str:
    """The message with which the training ended there; "" where it left none."""
    try:
        told = json.loads(_read_text(hub, training, ERROR))
    except (ValueError, RecursionError):
        return ""
    message = told.get("message") if isinstance(told, dict) else None
    return _text(message)[:2000]


def progress_of(events: list[dict[str, Any]]) -> tuple[float, float]:
    """Steps done, and in all."""
    last = next((one for one in reversed(events) if one["event"] == "progress"), None)
    return (last["done"], last["total"]) if last else (0.0, 0.0)


def fetch(hub: HubJobs, training: HubTraining, folder: Path) -> None:
    """Bring the adapter, its kept steps and the result into `folder`, each as the worker has left
    it. Raises PlainError where that is not what a training leaves, and PlatformError."""
    files = hub.files(training.result_repository)
    result = _result(hub, training, files)
    wanted = {name: sha for name, sha in result["files"].items() if ADAPTER_FILE.fullmatch(name)}
    strange = set(result["files"]) - set(wanted)
    missing = [name for name in (*NEEDED, *wanted) if name not in files or name not in wanted]
    if strange or missing or len(wanted) > MAX_FILES:
        raise _incomplete()
    total = sum(files[name].size for name in wanted)
    if total > MAX_BYTES or total > shutil.disk_usage(_existing(folder)).free * 0.9:
        raise PlainError(
            _("What came of it has %(gb).1f GB, for which there is no room. Press Continue then.")
            % {"gb": total / 1e9}
        )
    shutil.rmtree(folder, ignore_errors=True)
    for name, sha256 in wanted.items():
        if hub.download(training.result_repository, files[name], folder / name) != sha256:
            raise PlainError(
                _("%(name)s on the hub is not what the training left.") % {"name": name}
            )
    (folder / RESULT).write_text(json.dumps(result))


def _result(hub: HubJobs, training: HubTraining, files: dict[str, HubFile]) -> dict[str, Any]:
    """{"result": of the loop, "files": name -> sha256}. Raises PlainError."""
    if RESULT not in files:
        raise _incomplete()
    try:
        found = json.loads(_read_text(hub, training, RESULT))
        result, told = found["result"], found["files"]
        if not all(isinstance(part, dict) for part in (result, told)):
            raise TypeError("no result")
        if not all(isinstance(one, str) for pair in told.items() for one in pair):
            raise TypeError("no hashes")
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _incomplete() from None
    return {"result": _known(result), "files": told}


def _known(given: dict[str, Any]) -> dict[str, Any]:
    """The fields of a result that are known, where they have the right type."""
    steps = given.get("kept_steps")
    kept = steps.items() if isinstance(steps, dict) else ()
    found = {
        **{name: _whole(given.get(name), MAX_NUMBER) for name in RESULT_WHOLE},
        **{name: _number(given.get(name)) for name in RESULT_NUMBERS},
        "number_format": _text(given.get("number_format"))[:40] or None,
        "ended_early": given.get("ended_early") is True,
        "kept_steps": {_text(step)[:12]: _text(sha)[:64] for step, sha in list(kept)[:MAX_FILES]},
    }
    if found["steps"] is None:
        found["ended_early"] = None  # pages say after which step
    return {name: value for name, value in found.items() if value is not None}


def _read_text(hub: HubJobs, training: HubTraining, name: str) -> str:
    """A short text of the repository; "" where there is none. Raises PlatformError."""
    file = hub.files(training.result_repository).get(name)
    if file is None or file.size > MAX_TOLD_BYTES:
        return ""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "told"
        try:
            hub.download(training.result_repository, file, path)
        except PlatformError:
            if name == EVENTS:  # it may have been replaced meanwhile: the next look reads it
                return ""
            raise
        return path.read_text(encoding="utf-8", errors="replace")


def _event(line: str) -> dict[str, Any] | None:
    """One event with the fields that are known, or None."""
    try:
        given = json.loads(line)
    except (ValueError, RecursionError):
        return None
    kind = given.get("event") if isinstance(given, dict) else None
    if kind == "progress":
        done, total = _number(given.get("done")), _number(given.get("total"))
        return None if done is None or not total else {"event": kind, "done": done, "total": total}
    if kind in ("warning", "phase"):
        text = _text(given.get("text" if kind == "warning" else "message"))
        return {"event": kind, "text": text[:500]} if text else None
    step = _whole(given.get("step")) if kind in ("point", "sample") else None
    if step is None:
        return None
    if kind == "point":
        numbers = {name: _number(given.get(name)) for name in NUMBERS}
        return {"event": kind, "step": step, **numbers}
    index, passed = _whole(given.get("index")), given.get("passed")
    texts = {name: _text(given.get(name)) for name in ("prompt", "wanted", "answer", "why")}
    if index is None or index > 1000:
        return None
    return {
        "event": kind,
        "step": step,
        "index": index,
        "passed": passed if isinstance(passed, bool) else None,
        **texts,
    }


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < MAX_NUMBER else None  # no NaN, either


def _whole(value: Any, below: int = 10**9) -> int | None:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return value if is_whole and 0 <= value < below else None


def _text(value: Any) -> str:
    return storable(value[:MAX_TEXT]) if isinstance(value, str) else ""


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder


def _incomplete() -> PlainError:
    return PlainError(
        _(
            "The hub says that it is done, and the adapter is not there as a training leaves it. "
            "Press Continue to look again."
        )
    )
