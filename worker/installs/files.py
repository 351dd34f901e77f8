"""Selects the files of a model to fetch, with their sizes and hashes."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from worker.channel import UserError

# Other files are not fetched, above all pickles (.bin, .pt) and code (.py).
SMALL = re.compile(
    r"(config|generation_config|special_tokens_map|added_tokens|vocab|tokenizer[\w.-]*"
    r"|chat_template|model\.safetensors\.index)\.json|chat_template\.jinja|tokenizer\.model"
    r"|vocab\.txt|merges\.txt|(LICEN[SC]E|NOTICE|USE_POLICY)[\w-]*(\.(txt|md|pdf))?"
)
WEIGHTS = re.compile(r"[A-Za-z0-9][\w.-]{0,200}\.safetensors")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
INDEX = "model.safetensors.index.json"
MOST_SMALL = 200_000_000  # bytes; six times the largest known tokenizer


class InstallStopped(Exception):
    """Stop was pressed; the files so far are kept."""


@dataclass(frozen=True)
class File:
    """One file to fetch. `size` in bytes; hashes are empty if the source has none.

    `changed`: modification time of a local file in nanoseconds.
    """

    name: str
    size: int
    sha256: str = ""
    git: str = ""
    changed: int = 0


@dataclass
class Plan:
    """The files to fetch and their revision. Saved first, so that a continued install fetches
    the same files even if the source has changed."""

    source: str
    revision: str
    files: list[File]
    pickled: bool = field(default=False)  # the source also has weights as pickles
    licence: str = field(default="")  # as the source tells it; "" where it does not
    gated: bool = field(default=False)  # its maker asks for an account and an agreement

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path, source: str) -> "Plan | None":
        """The saved plan of this source, or None."""
        try:
            found = json.loads(path.read_text())
            files = [File(**one) for one in found.pop("files")]
            plan = cls(files=files, **found)
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return plan if plan.source == source else None

    def small(self) -> list[File]:
        return [file for file in self.files if not WEIGHTS.fullmatch(file.name)]

    def index(self) -> File | None:
        return next((file for file in self.files if file.name == INDEX), None)

    def weights(self, shards: Iterable[str] | None) -> list[File]:
        """The weights file, or the shards listed in the index.

        Some models have the same weights twice under other names; only one set is fetched.
        """
        offered = {file.name: file for file in self.files if WEIGHTS.fullmatch(file.name)}
        if "model.safetensors" in offered:
            return [offered["model.safetensors"]]
        if shards is not None:
            wanted = sorted(set(shards))
            if any(name not in offered for name in wanted):
                raise UserError(
                    "bad_model",
                    "The model is incomplete where it comes from: its index names files that are "
                    "not there. Choose another model, or tell its maker.",
                )
            return [offered[name] for name in wanted]
        if offered:
            return list(offered.values())
        raise no_safetensors(self.pickled)


def plan_of(source: str, revision: str, offered: Iterable[File]) -> Plan:
    """Plan with the allowed files. Names with folders or `..` never match."""
    offered = list(offered)
    files = [f for f in offered if SMALL.fullmatch(f.name) or WEIGHTS.fullmatch(f.name)]
    if not any(file.name == "config.json" for file in files):
        raise UserError(
            "bad_model",
            "There is no config.json, so this is not a model that can be installed. An adapter "
            "or a GGUF file is not enough: take the model itself.",
        )
    if any(f.size > MOST_SMALL for f in files if not WEIGHTS.fullmatch(f.name)):
        raise UserError("bad_model", "One of the model's small files is far too large to be real.")
    pickled = any(file.name.lower().endswith(PICKLES) for file in offered)
    return Plan(source, revision, files, pickled)


def shards_of(folder: Path) -> list[str] | None:
    """Names of the weight files in the index; None without an index."""
    try:
        listed = json.loads((folder / INDEX).read_text())["weight_map"].values()
        return [str(name) for name in listed]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise UserError("bad_model", "The model's list of weight files cannot be read.") from error


def no_safetensors(pickled: bool) -> UserError:
    if pickled:
        return UserError(
            "bad_model",
            "This model comes only as .bin files, which can carry programs. Finetune takes "
            "safetensors alone: look for a version of the model that has them.",
        )
    return UserError(
        "bad_model",
        "There are no safetensors files, so there are no weights to install. Look for a version "
        "of the model that has them.",
    )


def verified(file: File, path: Path) -> str:
    """The file's SHA-256. Raises UserError if it differs from the source's."""
    ours, git = hashlib.sha256(), hashlib.sha1(usedforsecurity=False)
    git.update(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as source:
        for block in iter(lambda: source.read(1 << 20), b""):
            ours.update(block)
            if file.git:
                git.update(block)
    wrong = file.sha256 and ours.hexdigest() != file.sha256
    if wrong or (file.git and git.hexdigest() != file.git):
        path.unlink()
        raise UserError(
            "damaged",
            f"{file.name} was damaged on its way. Press Continue to fetch that file again; the "
            "rest is kept.",
        )
    return ours.hexdigest()


Tell = Callable[[int], None]
"""Called with the bytes fetched of the current file; raises InstallStopped or LeaseLost."""
