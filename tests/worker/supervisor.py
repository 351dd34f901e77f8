"""Runs one job in a process of its own: `python -m tests.worker.supervisor JOB_ID`."""

import os
import sys
import threading

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "finetune_app.settings")
django.setup()

from finetune_app.jobs import lease, process_ids  # noqa: E402
from worker import warm_child  # noqa: E402
from worker.supervise import Supervision  # noqa: E402

if __name__ == "__main__":
    job = lease.take(int(sys.argv[1]), worker=process_ids.process_id())
    if job is not None:
        process_ids.kill(job.child)
        lease.end_child_runs(job, "found gone by the next worker")
        Supervision(job, warm_child.new_light_child, threading.Event()).run()
