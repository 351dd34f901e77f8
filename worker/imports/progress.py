"""Progress of reading a file: bytes, rows, rows per second."""

import time
from collections.abc import Callable

from worker.channel import Channel, UserError
from worker.imports.limits import MAX_ROWS

ROWS_BETWEEN_CHECKS = 100
REPORT_SECONDS = 0.5


class ByteMeter:
    """Number of bytes of the file that a reader has read."""

    def __init__(self) -> None:
        self.total = 0
        self._position: Callable[[], int] = lambda: 0

    def watch(self, position: Callable[[], int], total: int) -> None:
        self._position, self.total = position, total

    def freeze(self) -> None:
        """Keep the last position, because the file it was read from is about to close."""
        done = self.done
        self._position = lambda: done

    @property
    def done(self) -> int:
        return min(self._position(), self.total)


class RowProgress:
    """Counts rows, reports twice a second, and checks that the lease still holds."""

    def __init__(self, channel: Channel, meter: ByteMeter, phase: str, message: str) -> None:
        self._channel, self._meter, self._phase = channel, meter, phase
        self._started_at = self._reported_at = time.monotonic()
        self.rows = 0
        channel.emit("phase", phase=phase, message=message)

    def count_row(self) -> None:
        """Raises UserError when there are too many rows, LeaseLost when the lease is lost."""
        self.rows += 1
        if self.rows > MAX_ROWS:
            raise UserError(
                "bad_data",
                f"The file has more than {MAX_ROWS:,} rows. Split it into smaller files.",
            )
        if self.rows % ROWS_BETWEEN_CHECKS == 0:
            self._channel.check()
            if time.monotonic() - self._reported_at >= REPORT_SECONDS:
                self._report(self._meter.done)

    def end(self) -> None:
        self._report(self._meter.total)

    def _report(self, done: int) -> None:
        self._reported_at = time.monotonic()
        rate = round(self.rows / max(self._reported_at - self._started_at, 1e-6))
        message = f"{self.rows:,} rows so far, {rate:,} a second"
        self._channel.emit("phase", phase=self._phase, message=message)
        self._channel.emit(
            "progress", done=done, total=self._meter.total, unit="bytes", rows=self.rows, rate=rate
        )
