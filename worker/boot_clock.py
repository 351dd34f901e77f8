"""A clock that a changed time of day, SIGSTOP and a sleeping computer do not fool."""

import time

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", None)


def seconds() -> float:
    """Seconds since the machine started, sleep included; comparable between its processes."""
    return time.clock_gettime(_BOOTTIME) if _BOOTTIME is not None else time.monotonic()
