"""How far reading has come, in bytes, and how quickly."""

import time
from collections.abc import Callable

from worker.channel import Channel, UserError
from worker.imports.limits import MAX_ROWS

EVERY = 100  # rows between two looks at the clock
PAUSE = 0.5  # seconds between two reports


class ByteMeter:
    """What a reader fills in: where it is, of how many bytes."""

    def __init__(self) -> None:
        self.total = 0
        self._where: Callable[[], int] = lambda: 0

    def watch(self, where: Callable[[], int], total: int) -> None:
        self._where, self.total = where, total

    def freeze(self) -> None:
        """Keep the last place: what was watched is about to close."""
        done = self.done
        self._where = lambda: done

    @property
    def done(self) -> int:
        return min(self._where(), self.total)


class RowProgress:
    """Counts rows; reports twice a second; asks whether the job still is ours."""

    def __init__(self, channel: Channel, meter: ByteMeter, phase: str, message: str) -> None:
        self._channel, self._meter, self._phase = channel, meter, phase
        self._began = self._told = time.monotonic()
        self.rows = 0
        channel.emit("phase", phase=phase, message=message)

    def row(self) -> None:
        self.rows += 1
        if self.rows > MAX_ROWS:
            raise UserError(
                "bad_data", f"The file has more than {MAX_ROWS:,} rows. Bring it in smaller parts."
            )
        if self.rows % EVERY == 0:
            self._channel.check()
            if time.monotonic() - self._told >= PAUSE:
                self._tell(self._meter.done)

    def end(self) -> None:
        self._tell(self._meter.total)

    def _tell(self, done: int) -> None:
        self._told = time.monotonic()
        rate = round(self.rows / max(self._told - self._began, 1e-6))
        said = f"{self.rows:,} rows so far, {rate:,} a second"
        self._channel.emit("phase", phase=self._phase, message=said)
        self._channel.emit(
            "progress", done=done, total=self._meter.total, unit="bytes", rows=self.rows, rate=rate
        )
