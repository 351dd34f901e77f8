"""fake_vllm.py stands in for vLLM: a process with its command line and routes."""

import sys
from pathlib import Path

import pytest
from django.conf import settings as django_settings

from worker.engine.vllm.adapter_check import PeftReferences
from worker.engine.vllm.engine import VllmEngine
from worker.engine.vllm.peft_reference import compute


class FakeVllm:
    """The fake's program, with a fault to inject, and the events that it recorded."""

    def __init__(self, folder: Path, fault: str) -> None:
        self.program, self.log, self.events = (
            folder / "vllm",
            folder / "vllm.log",
            folder / "events",
        )
        self.events.touch()
        self.program.write_text(
            f"#!/bin/sh\nexport FAULT={fault} EVENTS={self.events} OMP_NUM_THREADS=1\n"
            f"export PYTHONPATH={django_settings.BASE_DIR} OPENBLAS_NUM_THREADS=1\n"
            f'exec {sys.executable} -m tests.worker.engine.vllm.fake_vllm "$@"\n'
        )
        self.program.chmod(0o700)

    def recorded(self, name: str) -> list[str]:
        return [line for line in self.events.read_text().splitlines() if line.startswith(name)]

    def open(self, base: Path, number_format: str = "fp32") -> VllmEngine:
        return VllmEngine(
            base,
            number_format,
            program=self.program,
            options=(),
            log_file=self.log,
            references=REFERENCES,
        )


REFERENCES = PeftReferences(compute)  # in this process, which has imported torch


@pytest.fixture
def vllm(tmp_path):
    return lambda fault="": FakeVllm(tmp_path, fault)


@pytest.fixture(scope="session")
def served(base, tmp_path_factory):
    """A backend without faults, for tests that leave it running."""
    with FakeVllm(tmp_path_factory.mktemp("vllm"), "").open(base) as engine:
        yield engine
