"""Runs one waiting job on a node of a cluster: `python -m worker.run_job JOB`, then ends.

With --only-report it reports what this node is, so that what fits is judged by it. SIGTERM (a time
limit, preemption, eviction) hands the job back: it goes on wherever the cluster has room next.
"""

import argparse
import logging
import os
import signal
import socket
import sys
import threading

import django
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

log = logging.getLogger("worker.run_job")

SHUTDOWN_SECONDS = 20.0  # to save; Slurm (KillWait) and Kubernetes kill after 30 by default


def main() -> int:
    """Exit code 0 where there was nothing to do, too: somebody else has taken the job."""
    parser = argparse.ArgumentParser(prog="python -m worker.run_job")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("job", type=int, nargs="?", help="the id of a waiting heavy job")
    what.add_argument("--only-report", action="store_true", help="run none, report this machine")
    given = parser.parse_args()
    shutting_down = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_args: shutting_down.set())
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "finetune_app.settings")
    try:
        django.setup()
    except ImproperlyConfigured as mistake:  # of settings.py: its message says what to change
        sys.exit(str(mistake))
    from finetune_app.core import in_use, local_copies
    from finetune_app.core.shared_secrets import require_shared_secrets
    from finetune_app.jobs import worker_machines

    in_use.hold(settings.DATA_DIR, "worker")
    require_shared_secrets()
    worker_machines.report()
    if given.job is not None:
        worker_machines.report_in_background()
        local_copies.tidy_in_background()
        run(given.job, shutting_down)
    return 0


def run(pk: int, shutting_down: threading.Event) -> None:
    """Take the lease of the job, and run it to its end or until this process is told to end."""
    from finetune_app.core import logs
    from finetune_app.core.machine import find_graphics_card
    from finetune_app.jobs import lease, process_ids
    from finetune_app.jobs.clusters.dispatch import turn_away_without_card
    from worker import warm_child
    from worker.child import IGNORE_SIGTERM
    from worker.supervise import run_taken

    card = find_graphics_card()
    if card is None and turn_away_without_card(pk, socket.gethostname()):
        return
    if shutting_down.is_set():
        return
    card_bytes = card.memory_bytes if card else 0
    job = lease.take(pk, worker=process_ids.process_id(), card_bytes=card_bytes)
    if job is None:
        log.info("job %s does not wait any more", pk)
        return
    os.environ[IGNORE_SIGTERM] = "1"  # this process says when its child has to end
    with logs.context(request=job.request_id, job=job.pk):
        run_taken(job, warm_child.new_heavy_child, shutting_down, SHUTDOWN_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
