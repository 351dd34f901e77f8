"""A change of very many examples. There is nothing to work out in a process of its own: the rows
are changed where the lease is held, in short transactions (finetune_app/datasets/change_jobs.py).
"""

from typing import Any

from worker.channel import Channel, Job


def run(job: Job, channel: Channel) -> dict[str, Any]:
    channel.emit("phase", phase="changing", message="Changing the examples")
    return {}
