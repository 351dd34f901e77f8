"""What goes to the hub: rows, settings, our own worker, and the small files of the base model.

The same packing gives the same bytes, so what was sent already is not sent again.
"""

import gzip
import io
import json
import shutil
import tarfile
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from finetune_app.basemodels.automatic_settings import QLORA
from finetune_app.basemodels.models import BaseModel
from finetune_app.basemodels.services import HUB_ID
from finetune_app.core.errors import PlainError
from finetune_app.core.files import local_folder
from finetune_app.hub_training.models import HubTraining
from finetune_app.training.answer_length import max_new_tokens
from finetune_app.training.jobs import RECORD_ONLY
from finetune_app.versions.reader import write_without_test_rows

ROWS, ORDER, WORKER = "rows.jsonl", "order.json", "worker.tar.gz"
REQUIREMENTS, BASE = "requirements.txt", "base"
# What a training imports, see tests/hub_training/test_packing.py; pip finds what these need.
DISTRIBUTIONS = (
    "accelerate",
    "defusedxml",
    "django",
    "google-re2",
    "huggingface-hub",
    "jinja2",
    "numpy",
    "peft",
    "psutil",
    "rapidfuzz",
    "safetensors",
    "scipy",
    "torch",
    "transformers",
    "tree-sitter",
    "tree-sitter-bash",
)
SENT_SUFFIXES = {".py", ".toml", ".txt", ".json", ".jsonl", ".jinja"}
LEFT_OUT = {"migrations", "__pycache__"}
PRIVATE_FIELDS = ("source",)  # of a row: names of files it came from
OWNER_ROOT = {"uid": 0, "gid": 0, "uname": "", "gname": "", "mtime": 0, "mode": 0o644}


def pack(training: HubTraining, folder: Path) -> dict[str, Path]:
    """Path here by path there. Raises PlainError where the base model is not here any more."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _write_rows(training, folder / ROWS)
    (folder / ORDER).write_text(json.dumps(order_of(training), indent=1, sort_keys=True))
    (folder / REQUIREMENTS).write_text(requirements(training.spec.get("tuning", "")))
    (folder / WORKER).write_bytes(worker_archive())
    found = {name: folder / name for name in (ROWS, ORDER, REQUIREMENTS, WORKER)}
    base = local_folder(training.base_model.folder)
    for name in training.base_model.files:
        if not (base / name).is_file():
            raise PlainError(_("The files of %(name)s are not here any more. Install it again."))
        if not is_fetched_there(training.base_model, name):
            found[f"{BASE}/{name}"] = base / name
    return dict(sorted(found.items()))


def is_fetched_there(base: BaseModel, name: str) -> bool:
    """Whether the container gets this file of the base model from the hub: the weights, where we
    know the commit that they came from. All other files are sent, as they are here."""
    is_pinned = bool(base.revision) and bool(HUB_ID.fullmatch(base.source))
    return is_pinned and name.endswith(".safetensors")


def order_of(training: HubTraining) -> dict[str, Any]:
    """What the worker there reads. It holds no secret."""
    base = training.base_model
    spec = {name: value for name, value in training.spec.items() if name not in RECORD_ONLY}
    return {
        "spec": spec | {"max_new_tokens": max_new_tokens(training.goal.measure, training.version)},
        "rows": ROWS,
        "base": BASE,
        "base_source": base.source,
        "base_revision": base.revision,
        "base_files": base.files,
        "fetched": [name for name in base.files if is_fetched_there(base, name)],
        "result": training.result_repository,
    }


def requirements(tuning: str) -> str:
    """Pinned to what is installed here, so that both compute with the same libraries."""
    names = [*DISTRIBUTIONS, *(["bitsandbytes"] if tuning == QLORA else [])]
    return "".join(f"{name}=={_public(name)}\n" for name in names)


def _public(name: str) -> str:
    """Without a local part such as +cpu, which the index does not have. Raises PlainError."""
    try:
        return version(name).split("+")[0]
    except PackageNotFoundError:
        raise PlainError(_("%(name)s is not installed here.") % {"name": name}) from None


def _write_rows(training: HubTraining, path: Path) -> None:
    """Training and validation rows, without the names of the files that they came from."""
    every = path.with_name("every.jsonl")
    write_without_test_rows(training.version, every)
    with every.open(encoding="utf-8") as source, path.open("w", encoding="utf-8") as target:
        for line in source:
            row = json.loads(line)
            kept = {name: value for name, value in row.items() if name not in PRIVATE_FIELDS}
            target.write(json.dumps(kept, ensure_ascii=False) + "\n")
    every.unlink()


@cache
def worker_archive() -> bytes:
    """The code of this installation that a training needs, always with the same bytes: packed once
    a process, which runs this code itself."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for source, name in _sources(Path(settings.BASE_DIR)):
            entry = tarfile.TarInfo(name)
            for field, value in OWNER_ROOT.items():
                setattr(entry, field, value)
            content = source.read_bytes()
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(raw.getvalue(), mtime=0)


def _sources(root: Path) -> Iterator[tuple[Path, str]]:
    for package in ("finetune_app", "worker"):
        for path in sorted((root / package).rglob("*")):
            parts = path.relative_to(root)
            if path.suffix in SENT_SUFFIXES and path.is_file() and not LEFT_OUT & set(parts.parts):
                yield path, parts.as_posix()
