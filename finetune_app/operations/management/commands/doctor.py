"""manage.py doctor: checks that everything this installation needs is in place."""

import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import redis
from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from finetune_app.basemodels.models import BaseModel
from finetune_app.core import engine_client, health, schema, vllm_installation
from finetune_app.core.connections import why_no_database
from finetune_app.core.engine_protocol import ROUNDED
from finetune_app.core.machine import this_machine
from finetune_app.core.openvino_installation import openvino_is_used, openvino_version
from finetune_app.core.shared_secrets import names_that_differ
from finetune_app.core.sizes import GB, MEMORY_GB, memory_size, size
from finetune_app.jobs.models import Job

Check = tuple[bool, str]
WISE_BYTES = 2 * GB  # of free disk
STUCK_AFTER_LEASES = 8  # a running clock requeues a job long before
ENGINE_TIMEOUT_SECONDS = 2.0


class Command(BaseCommand):
    help = "Look at the machine, the database, the broker, the models and the jobs."

    def handle(self, *args: Any, **options: Any) -> None:
        results = list(checks())
        for fine, sentence in results:
            self.stdout.write(f"{'ok  ' if fine else 'LOOK'} {sentence}")
        if not all(fine for fine, _sentence in results):
            sys.exit(1)


def checks() -> Iterator[Check]:
    machine = this_machine(settings.DATA_DIR)
    yield True, f"Python {sys.version.split()[0]}; {machine.words}."
    free = machine.disk_free_bytes
    said = f"{size(free)} of disk free in {settings.DATA_DIR} ({size(WISE_BYTES)} or more is wise)."
    yield free > WISE_BYTES, said
    yield machine.memory_bytes > 4 * MEMORY_GB, f"{memory_size(machine.memory_bytes)} of memory."
    yield from vllm()
    if machine.card is None:
        yield openvino()
    up_to_date = database()
    yield up_to_date
    yield broker()
    if not up_to_date[0]:
        return  # the tables below may lack columns
    yield secrets_in_force()
    yield from models()
    limit = timezone.now() - timedelta(seconds=STUCK_AFTER_LEASES * settings.LEASE_SECONDS)
    stuck = Job.objects.leased().filter(heartbeat_at__lt=limit).count()
    yield stuck == 0, f"{stuck} jobs without a living worker."
    waiting = Job.objects.waiting().first()
    if waiting:
        minutes = (timezone.now() - waiting.queued_at).total_seconds() / 60
        yield minutes < 60, f"The oldest waiting job has waited {minutes:.0f} minutes."


def secrets_in_force() -> Check:
    others = names_that_differ()
    if others:
        return False, f"{', '.join(others)} here and where Finetune was started differ."
    return True, "The secrets are those that Finetune was started with."


def vllm() -> Iterator[Check]:
    """Whether vLLM is installed, and whether the running engine uses it; nothing if unexpected."""
    found = vllm_installation.find_vllm()
    if found.program:
        yield True, f"Base models are served by vLLM ({found.program})."
    elif found.why_not:
        yield not found.mistaken, f"{found.why_not}."
    try:
        state = engine_client.health_now(ENGINE_TIMEOUT_SECONDS)
    except engine_client.EngineUnavailable:
        return
    if found.program and (why_not := state.get("why_not_vllm")):
        intended = state.get("number_format") in ROUNDED
        yield intended, f"Our own engine serves instead: {why_not}."


def openvino() -> Check:
    """Whether it computes answers on this machine's processor."""
    found = openvino_version()
    if openvino_is_used():
        return True, f"OpenVINO {found} is here, for models of Llama's kind."
    if found:
        return True, "OpenVINO is switched off (OPENVINO=off): answers take longer."
    return True, "Without OpenVINO answers take longer (`.venv/bin/pip install '.[openvino]'`)."


def database() -> Check:
    vendor = connection.vendor
    if why := why_no_database():
        return False, why
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if plan:
        return False, f"Database ({vendor}): {len(plan)} migrations to apply (`manage.py prepare`)."
    try:
        schema.refuse_newer()
    except schema.NewerDatabase as newer:
        return False, str(newer)
    return True, f"Database ({vendor}): 0 migrations to apply."


def broker() -> Check:
    """Valkey or Redis. Not running is normal while Finetune is stopped."""
    try:
        health.broker()
    except (redis.RedisError, OSError):
        return False, "The broker does not answer. With the bundled one: is `make run` running?"
    return True, "The broker answers."


def models() -> Iterator[Check]:
    found = list(BaseModel.objects.all())
    yield bool(found), f"{len(found)} base models installed (`manage.py prepare` adds the starter)."
    for model in found:
        config = Path(settings.DATA_DIR) / model.folder / "config.json"
        files = "files" if config.exists() else "its files are missing"
        yield config.exists(), f"{model.name}: {files} in {model.folder}."
