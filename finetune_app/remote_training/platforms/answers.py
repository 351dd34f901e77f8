"""Reading what a platform answers: nothing of it is trusted, neither types nor sizes."""

from itertools import islice
from typing import Any

MAX_MESSAGE = 300
MAX_NAME = 200  # of a model, a file or a job there
MAX_METRICS = 20  # of an event
MAX_NUMBER = 10**15


def one_line(text: object, key: str) -> str:
    """A text of the platform: one line, shortened, without the key."""
    said = str(text or "")[: 4 * MAX_MESSAGE].replace(key, "…")
    line = " ".join("".join(c if c.isprintable() else " " for c in said).split())
    return line if len(line) <= MAX_MESSAGE else line[: MAX_MESSAGE - 1] + "…"


def name(value: object) -> str:
    """Raises ValueError unless it can be the name of a thing there, or of a state."""
    if not (isinstance(value, str) and 0 < len(value) <= MAX_NAME and value.isprintable()):
        raise ValueError("not a name")
    return value


def count(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_NUMBER:
        return value
    return None


def numbers(data: object) -> dict[str, float]:
    """Those that can be stored and drawn: neither infinite nor "not a number"."""
    if not isinstance(data, dict):
        return {}
    found = {
        str(label)[:40]: value
        for label, value in islice(data.items(), MAX_METRICS)
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    return {
        label: value
        for label, value in found.items()
        if label.isprintable() and abs(value) < MAX_NUMBER
    }


def items(page: Any) -> list[Any]:
    """Raises ValueError unless the answer has a list: without one it does not say that something
    is not there, and what is not there is sent again."""
    found = getattr(page, "data", None)
    if not isinstance(found, list):
        raise ValueError("not a list")
    return found
