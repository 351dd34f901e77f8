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
from typing import Any, cast

from finetune_app.core import disk
from finetune_app.core.files import sha256_of
from finetune_app.core.thinking import NO
from finetune_app.model_export.job_messages import (
    BYTES_PER_PARAMETER,
    ExportResult,
    ExportSpec,
    ParityResult,
)
from worker.channel import Channel, Job, LeaseLost, UserError
from worker.model_export import gguf_architecture, gguf_file, merged, ollama, parity
from worker.model_export.readme import readme
from worker.model_export.vocabulary import vocabulary_of
from worker.template import stop_token_ids
from worker.training.adapter_export import copy_licences

FIXED_STEPS = 4  # of the progress: loading, writing, loading back, packing
DISK_MARGIN = 1.2  # free space needed, as a multiple of what is written
PARITY_FAILED = (
    "The exported file does not answer like the model you tested, so it cannot be downloaded: the "
    "likeliest token is the same for {same_tokens} of {tokens} tokens, and the logits differ by "
    "{share:.1%} of their spread. Take another format, or the adapter."
)
NO_DISK = "The disk is full, so the export was not made. Free some space, then try again."


class ExportStopped(Exception):
    """The job was stopped."""


def run(job: Job, channel: Channel) -> ExportResult:
    """Export to one file in job.folder.

    Raises UserError if the disk is full, the model has no such format, or the export does not
    answer like the tested model.
    """
    shutil.rmtree(job.folder, ignore_errors=True)
    job.folder.mkdir(parents=True)
    started = time.monotonic()
    try:
        result = ModelExporter(job, channel).export()
    except ExportStopped:
        shutil.rmtree(job.folder, ignore_errors=True)
        return {"stopped": True}
    except LeaseLost:
        raise  # another worker may write there
    except Exception as error:
        shutil.rmtree(job.folder, ignore_errors=True)
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise UserError("no_disk", NO_DISK) from error
        raise
    return {**result, "stopped": False, "seconds": round(time.monotonic() - started, 1)}


class ModelExporter:
    """Makes one export, step by step; `channel` gets phases, progress and the parity result."""

    def __init__(self, job: Job, channel: Channel) -> None:
        self.spec = cast(ExportSpec, job.spec)
        self.folder, self.channel = job.folder, channel
        self.base = Path(self.spec["base_model"])
        self.adapter = Path(self.spec["adapter"]) if self.spec["adapter"] else None
        self.total = FIXED_STEPS + 2 * len(self.spec["prompts"])
        self.done = 0

    def export(self) -> ExportResult:
        self._phase("loading", "Loading the tuned model")
        self.tokenizer = merged.tokenizer_of(self.base, self.adapter)
        self.stop_token_ids = stop_token_ids(self.tokenizer)
        tuned = merged.load_tuned(self.base, self.adapter, in_4bit=self.spec["in_4bit"])
        if self.spec["container"] == "gguf":
            gguf_architecture.require_supported(tuned.config)  # before the slow part
        self._require_disk_space(tuned)
        self._step()
        self._phase("asking", "Asking the tuned model, to compare the export with it")
        references = parity.answer_prompts(
            tuned,
            self.tokenizer,
            self.spec["prompts"],
            self.stop_token_ids,
            self.spec["max_new_tokens"],
            self._step,
        )
        self._phase("writing", "Merging and writing")
        draft = self.folder / "draft" / self.spec["name"]
        draft.mkdir(parents=True)
        load_back = self._write(merged.merge(tuned), draft)
        del tuned
        gc.collect()
        self._step()
        self._phase("checking", "Loading it back and comparing")
        result = self._compare(load_back, references)
        self._phase("packing", "Packing")
        path = self._pack(draft, result)
        return {
            "file": path.name,
            "size": path.stat().st_size,
            "sha256": sha256_of(path),
            "parity": result,
        }

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
        gguf_file.write(path, model, vocabulary, number_format, self.spec["about"])
        text = ollama.modelfile(
            self.tokenizer,
            path.name,
            bos_token=vocabulary.added_bos_token,
            context_length=model.config.max_position_embeddings,
        )
        if text and self.spec["thinking"] == NO:  # it would say its thoughts aloud
            (draft / "Modelfile").write_text(text, encoding="utf-8")
        copy_licences(self.base, draft)
        config = model.config
        return lambda: gguf_file.load_back(path, config)

    def _compare(
        self, load_back: Callable[[], Any], references: list[parity.ReferenceAnswer]
    ) -> ParityResult:
        gc.collect()
        model = load_back()
        self._step()
        result = parity.compare(
            model,
            references,
            self.stop_token_ids,
            self.spec["max_new_tokens"],
            self.spec["number_format"],
            self._step,
        )
        self.channel.emit("parity", **result)
        if not result["passed"]:
            spread = result["spread"]
            share = result["mean_difference"] / spread if spread else float("inf")
            raise UserError("not_the_same", PARITY_FAILED.format(**result, share=share))
        return result

    def _pack(self, draft: Path, result: ParityResult) -> Path:
        """Pack everything into an uncompressed zip: weights do not shrink."""
        files = sorted(path for path in draft.rglob("*") if path.is_file())
        gguf = next((path.name for path in files if path.suffix == ".gguf"), "model")
        has_modelfile = (draft / "Modelfile").exists()
        text = readme(self.spec, gguf, result, self.tokenizer, has_modelfile=has_modelfile)
        (draft / "README.md").write_text(text, encoding="utf-8")
        path = self.folder / f"{self.spec['name']}-{self.spec['number_format']}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for one in [draft / "README.md", *files]:
                self._raise_if_stopped()
                archive.write(one, one.relative_to(draft.parent))
        shutil.rmtree(draft.parent)
        self._step()
        return path

    def _require_disk_space(self, model: Any) -> None:
        """Raises UserError (no_disk) if the draft and the zip do not fit on the disk together."""
        bytes_each = BYTES_PER_PARAMETER[self.spec["number_format"]]
        needed = 2 * DISK_MARGIN * bytes_each * sum(p.numel() for p in model.parameters())
        free = disk.free_bytes(self.folder)
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
