"""Runs one job of a batch in a process of its own, with the tiny models of the tests:
`python -m tests.batches.batch_worker JOB_ID FOLDER`."""

import os
import sys
import threading
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "finetune_app.settings")
django.setup()

from django.conf import settings  # noqa: E402

from finetune_app.candidates import services as candidates  # noqa: E402
from finetune_app.gateway import model_lookup  # noqa: E402
from finetune_app.jobs import lease, process_ids  # noqa: E402
from worker import warm_child  # noqa: E402
from worker.supervise import Supervision  # noqa: E402


def tiny_folder(name: str) -> Path:
    return Path(sys.argv[2]) / ("adapter" if "training" in name or "runs" in name else "base")


if __name__ == "__main__":
    settings.ENGINE_SOCKET = os.environ["ENGINE_SOCKET"]
    settings.ENGINE_SECRET = os.environ["ENGINE_SECRET"]
    candidates.engine_folder = model_lookup.engine_folder = tiny_folder  # type: ignore[assignment]
    job = lease.take(int(sys.argv[1]), worker=process_ids.process_id())
    if job is not None:
        Supervision(job, warm_child.new_light_child, threading.Event()).run()
