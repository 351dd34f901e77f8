"""Exports a tuned model: merge, write, load back, compare, and only then pack the download.

Nothing is resumed: after a stop or a kill the next run starts over in an empty folder. An export
that does not answer like the tested model leaves no file.
"""

from __future__ import annotations

import errno
import gc
import shutil
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

from finetune_app.core.chat_messages import Message
from finetune_app.core.files import sha256_of
from worker.channel import Channel, Job, UserError
from worker.model_export import gguf_file, merged, ollama, parity
from worker.model_export.readme import readme
from worker.model_export.vocabulary import vocabulary_of
from worker.template import stop_token_ids

FIXED_STEPS = 4  # of the progress: loading, writing, loading back, packing
DISK_MARGIN = 1.2  # free space needed, as a multiple of what is written
PARITY_FAILED = (
    "The exported file does not answer like the model you tested, so it cannot be downloaded: the "
    "likeliest token is the same for {same_tokens} of {tokens} tokens, and the logits differ by "
    "{share:.1%} of their spread. Take another format, or the adapter."
)
NO_DISK = "The disk is full, so the export was not made. Free some space, then try again."


class ExportStopped(Exception):
    """The person pressed Stop."""


def run(job: Job, channel: Channel) -> dict[str, Any]:
    """Returns the result event: file, size (bytes), sha256, parity."""
    shutil.rmtree(job.folder, ignore_errors=True)
    job.folder.mkdir(parents=True)
    started = time.monotonic()
    try:
        result = ModelExporter(job, channel).export()
    except ExportStopped:
        shutil.rmtree(job.folder, ignore_errors=True)
        return {"stopped": True}
    except Exception as error:
        shutil.rmtree(job.folder, ignore_errors=True)
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise UserError("no_disk", NO_DISK) from error
        raise
    return result | {"stopped": False, "seconds": round(time.monotonic() - started, 1)}


class ExportSpec(TypedDict):
    base_model: str  # folder
    adapter: str  # folder
    container: str  # "merged" or "gguf"
    number_format: str  # "fp32", "bf16", "f16" or "q8_0"
    prompts: list[list[Message]]  # conversations that end with a user message
    max_new_tokens: int
    name: str  # of files, without a suffix
    about: dict[str, str]  # texts for the README


class ModelExporter:
    """Makes one export, step by step; `channel` gets phases, progress and the parity result."""

    def __init__(self, job: Job, channel: Channel) -> None:
        self.spec: ExportSpec = job.spec  # type: ignore[assignment]
        self.folder, self.channel = job.folder, channel
        self.base, self.adapter = Path(job.spec["base_model"]), Path(job.spec["adapter"])
        self.total = FIXED_STEPS + 2 * len(job.spec["prompts"])
        self.done = 0

    def export(self) -> dict[str, Any]:
        self.limit = int(self.spec["max_new_tokens"])
        self._phase("loading", "Loading the model and its adapter")
        self.tokenizer = merged.tokenizer_of(self.base, self.adapter)
        self.stops = stop_token_ids(self.tokenizer)
        tuned = merged.load_tuned(self.base, self.adapter)
        if self.spec["container"] == "gguf":
            gguf_file.check(tuned.config)  # before the slow part
        self._require_disk_space(tuned)
        self._step()
        self._phase("asking", "Asking the tuned model, to compare the export with it")
        readings = parity.read(
            tuned, self.tokenizer, self.spec["prompts"], self.stops, self.limit, self._step
        )
        self._phase("writing", "Merging and writing")
        draft = self.folder / "draft" / self.spec["name"]
        draft.mkdir(parents=True)
        load_back = self._write(merged.merge(tuned), draft)
        del tuned
        gc.collect()
        self._step()
        self._phase("checking", "Loading it back and comparing")
        found = self._compare(load_back, readings)
        self._phase("packing", "Packing")
        return {**self._pack(draft, found), "parity": found}

    def _write(self, model: Any, draft: Path) -> Callable[[], Any]:
        """Write the model; returns a function that loads it back."""
        number_format = self.spec["number_format"]
        if self.spec["container"] == "merged":
            folder = draft / "model"
            merged.write(model, self.tokenizer, folder, number_format, self.base)
            return lambda: merged.load_back(folder)
        size = model.get_input_embeddings().weight.shape[0]
        vocabulary = vocabulary_of(self.tokenizer, size)
        path = draft / f"{self.spec['name']}-{number_format}.gguf"
        about = self.spec["about"]
        gguf_file.write(
            path,
            model,
            vocabulary,
            number_format,
            {
                "name": about["title"],
                "licence": about.get("licence", ""),
                "base": about["base"],
                "description": f"{about['base']}, tuned for: {about['goal']}",
            },
        )
        bos = vocabulary.tokens[vocabulary.bos] if vocabulary.begins_with_bos else ""  # type: ignore[index]
        text = ollama.modelfile(
            self.tokenizer, path.name, bos=bos, context=model.config.max_position_embeddings
        )
        if text:
            (draft / "Modelfile").write_text(text, encoding="utf-8")
        merged.copy_licences(self.base, draft)
        return lambda: gguf_file.load_back(path)

    def _compare(
        self, load_back: Callable[[], Any], readings: list[parity.ReferenceAnswer]
    ) -> dict[str, Any]:
        gc.collect()
        model = load_back()
        self._step()
        found = parity.compare(
            model, readings, self.stops, self.limit, self.spec["number_format"], self._step
        )
        self.channel.emit("parity", **found.to_json())
        if not found.passed:
            share = found.mean_difference / found.spread if found.spread else float("inf")
            raise UserError(
                "not_the_same",
                PARITY_FAILED.format(
                    same_tokens=found.same_tokens, tokens=found.tokens, share=share
                ),
            )
        return found.to_json()

    def _pack(self, draft: Path, found: dict[str, Any]) -> dict[str, Any]:
        """Pack everything into an uncompressed zip: weights do not shrink."""
        files = sorted(path for path in draft.rglob("*") if path.is_file())
        gguf = next((path.name for path in files if path.suffix == ".gguf"), "model")
        text = readme(self.spec, gguf, found, ollama=(draft / "Modelfile").exists())
        (draft / "README.txt").write_text(text, encoding="utf-8")
        path = self.folder / f"{self.spec['name']}-{self.spec['number_format']}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as packed:
            for one in [draft / "README.txt", *files]:
                self._raise_if_stopped()
                packed.write(one, one.relative_to(draft.parent))
        shutil.rmtree(draft.parent)
        self._step()
        return {"file": path.name, "size": path.stat().st_size, "sha256": sha256_of(path)}

    def _require_disk_space(self, model: Any) -> None:
        """Raises UserError (no_disk) if the draft and the zip do not fit on the disk together."""
        sizes = {"fp32": 4.0, "bf16": 2.0, "f16": 2.0, "q8_0": 1.07}
        bytes_each = sizes[self.spec["number_format"]]
        needed = 2 * DISK_MARGIN * bytes_each * sum(p.numel() for p in model.parameters())
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise UserError(
                "no_disk",
                f"This export needs {needed / 1e9:.1f} GB on the disk for a while, and "
                f"{free / 1e9:.1f} GB are free. Free some space, then try again.",
            )

    def _phase(self, phase: str, message: str) -> None:
        self.channel.emit("phase", phase=phase, message=message)
        self._raise_if_stopped()

    def _step(self) -> None:
        self.done += 1
        self.channel.emit("progress", done=self.done, total=self.total, unit="parts")
        self._raise_if_stopped()

    def _raise_if_stopped(self) -> None:
        self.channel.check()
        if self.channel.stopping():
            raise ExportStopped
