"""A clock that is unaffected by changes of the system time, SIGSTOP and suspend."""

import time

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", None)


def seconds() -> float:
    """Seconds since boot, including suspend; comparable between processes."""
    return time.clock_gettime(_BOOTTIME) if _BOOTTIME is not None else time.monotonic()
