"""A channel that records events, to run a job in the process of the test."""

import json
from typing import Any


class RecordingChannel:
    """Records events; can request a stop, or lose the lease, after a number of steps."""

    def __init__(self, *, stop_after: int | None = None, lose_after: int | None = None) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.stop_after = stop_after
        self.lose_after = lose_after

    def emit(self, event: str, **fields: Any) -> None:
        json.dumps(fields)  # raises if not serialisable
        self.events.append((event, fields))

    def steps(self) -> int:
        return max((e["step"] for e in self.of("point")), default=0)

    def of(self, event: str) -> list[dict[str, Any]]:
        return [fields for name, fields in self.events if name == event]

    def stopping(self) -> bool:
        return self.stop_after is not None and self.steps() >= self.stop_after

    def check(self) -> None:
        from worker.channel import LeaseLost

        if self.lose_after is not None and self.steps() >= self.lose_after:
            raise LeaseLost
