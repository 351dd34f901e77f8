"""Which module does the work of which kind of job. Read by the child, so nothing heavy here."""

import os
from importlib import import_module

MODULES = {
    "training": "worker.training.loop",
    "evaluation": "worker.evaluation.run",
    "import": "worker.imports.run",
    "install": "worker.installs.run",
    "index": "worker.knowledge.run",
    "check": "worker.checks.run",
    "change": "worker.changes",
    "suggest": "worker.suggesting.run",
    "export": "worker.model_export.run",
    "drift": "worker.drift.run",
}


# What takes long to import; a spare child has done so before a job comes.
LIBRARIES = ("torch", "transformers", "peft", "safetensors.torch")


def module_of(kind: str) -> str:
    """Tests name a module with MODULES and LIBRARIES of their own in FINETUNE_TEST_KINDS."""
    extra = os.environ.get("FINETUNE_TEST_KINDS")
    known = MODULES | import_module(extra).MODULES if extra else MODULES
    return known[kind]


def libraries() -> tuple[str, ...]:
    extra = os.environ.get("FINETUNE_TEST_KINDS")
    return import_module(extra).LIBRARIES if extra else LIBRARIES
