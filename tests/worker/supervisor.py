"""A supervisor as a program: takes the lease of one job and runs it."""

import os
import sys
import threading

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "finetune_app.settings")
django.setup()

from finetune_app.jobs import lease, places  # noqa: E402
from worker import spare  # noqa: E402
from worker.supervise import Supervision  # noqa: E402

if __name__ == "__main__":
    job = lease.take(int(sys.argv[1]), worker=places.name_of())
    if job is not None:
        places.kill(job.child)
        lease.close_journal(job, "found gone by the next worker")
        Supervision(job, spare.light_child, threading.Event()).run()
