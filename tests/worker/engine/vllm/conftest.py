"""vLLM's place is taken by standin.py: an own process with vLLM's command line and routes."""

import sys
from pathlib import Path

import pytest
from django.conf import settings as django_settings

from worker.engine.vllm.adapter_check import PeftReferences
from worker.engine.vllm.engine import VllmEngine
from worker.engine.vllm.peft_reference import compute


class Vllm:
    """A program to start, with a fault if there is to be one, and what it noted down."""

    def __init__(self, folder: Path, fault: str) -> None:
        self.program, self.log, self.notes = folder / "vllm", folder / "vllm.log", folder / "notes"
        self.notes.touch()
        self.program.write_text(
            f"#!/bin/sh\nexport FAULT={fault} NOTES={self.notes} OMP_NUM_THREADS=1\n"
            f"export PYTHONPATH={django_settings.BASE_DIR} OPENBLAS_NUM_THREADS=1\n"
            f'exec {sys.executable} -m tests.worker.engine.vllm.fake_vllm "$@"\n'
        )
        self.program.chmod(0o700)

    def noted(self, word: str) -> list[str]:
        return [line for line in self.notes.read_text().splitlines() if line.startswith(word)]

    def open(self, base: Path, number_format: str = "fp32") -> VllmEngine:
        return VllmEngine(
            base,
            number_format,
            program=self.program,
            options=(),
            log_file=self.log,
            references=REFERENCES,
        )


REFERENCES = PeftReferences(compute)  # here and not in a child: torch is loaded already


@pytest.fixture
def vllm(tmp_path):
    return lambda fault="": Vllm(tmp_path, fault)


@pytest.fixture(scope="session")
def served(base, tmp_path_factory):
    """One that works, for all tests that do it no harm."""
    with Vllm(tmp_path_factory.mktemp("vllm"), "").open(base) as engine:
        yield engine
