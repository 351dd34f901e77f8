"""Tiny tuned models of each architecture, and jobs that export them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.worker.engine.tiny_models import make_adapter, make_base
from tests.worker.model_export.tiny_gemma import make_gemma
from worker.channel import Job

ABOUT = {
    "title": "Sort emails, training 1",
    "goal": "Sort emails",
    "base": "Tiny",
    "licence": "apache-2.0",
}
CARD = {"start": "---\nlicense: apache-2.0\n---\n\n# Sort emails", "facts": "\n## Limits\n\nMany."}


@pytest.fixture(scope="session")
def tuned(tmp_path_factory) -> Callable[[str], tuple[Path, Path]]:
    """Folders of base model and adapter, made once per architecture."""
    made: dict[str, tuple[Path, Path]] = {}

    def folders(kind: str) -> tuple[Path, Path]:
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            base = make_gemma(folder) if kind == "gemma3" else make_base(folder, kind)
            (base / "LICENSE").write_text("As is.")
            made[kind] = base, make_adapter(base, tmp_path_factory.mktemp("adapter"), 1)
        return made[kind]

    return folders


@pytest.fixture
def make_job(tuned, tmp_path) -> Callable[..., Job]:
    def make(
        kind: str = "llama", container: str = "merged", number_format: str = "fp32", **given: Any
    ):
        base, adapter = tuned(kind)
        spec = {
            "base_model": str(base),
            "adapter": str(adapter),
            "in_4bit": False,
            "thinking": "no",
            "container": container,
            "number_format": number_format,
            "max_new_tokens": 6,
            "name": "sort-training-1",
            "prompts": [[{"role": "user", "content": f"Email {n}: 42 bikes"}] for n in range(2)],
            "about": ABOUT,
            "card": CARD,
        }
        return Job("export", tmp_path / "export", spec | given)

    return make
