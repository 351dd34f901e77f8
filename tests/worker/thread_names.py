"""A job that tells which threads its process has."""

import threading

from worker.channel import Channel, Job


def run(_job: Job, _channel: Channel) -> dict[str, list[str]]:
    return {"threads": [thread.name for thread in threading.enumerate()]}
