"""A runner that is killed while it works."""

import os
import signal
from typing import Any


def run(job: Any, channel: Any) -> dict[str, Any]:
    channel.emit("progress", done=1, total=2, unit="rows")
    os.kill(os.getpid(), signal.SIGKILL)
    return {}
