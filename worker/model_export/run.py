"""An export: merge, write, load back, compare, and only then pack what may be downloaded.

It keeps nothing half-way: stopped or killed, the next run starts over in an empty folder. An
export that does not answer as what was tested leaves no file.
"""

from __future__ import annotations

import errno
import gc
import shutil
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from finetune_app.core.files import sha256_of
from worker.channel import Channel, Job, UserError
from worker.model_export import gguf_file, merged, ollama, parity
from worker.model_export.readme import readme
from worker.model_export.vocabulary import vocabulary_of
from worker.template import stop_token_ids

PARTS_BESIDE = 4  # of the progress: loading, writing, loading back, packing
ROOM = 1.2  # times what is written has to be free
NOT_THE_SAME = (
    "The exported file does not answer as the model that was tested, so it is not given out: the "
    "likeliest token is the same for {same_tokens} of {tokens} tokens, and the logits differ by "
    "{share:.1%} of their spread. Take another form, or the adapter."
)
NO_DISK = "The disk is full, so the export was not made. Free some space, then try again."


class Stopped(Exception):
    """The person pressed Stop."""


def run(job: Job, channel: Channel) -> dict[str, Any]:
    """Make the export of the spec. Returns the result event: file, size, sha256, parity."""
    shutil.rmtree(job.folder, ignore_errors=True)
    job.folder.mkdir(parents=True)
    started = time.monotonic()
    try:
        result = Export(job, channel).make()
    except Stopped:
        shutil.rmtree(job.folder, ignore_errors=True)
        return {"stopped": True}
    except Exception as error:
        shutil.rmtree(job.folder, ignore_errors=True)
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise UserError("no_disk", NO_DISK) from error
        raise
    return result | {"stopped": False, "seconds": round(time.monotonic() - started, 1)}


class Export:
    """spec: base_model and adapter (folders), form ("merged" or "gguf"), number_format, prompts
    (conversations that end in a question), max_new_tokens, name (of files), about (for people)."""

    def __init__(self, job: Job, channel: Channel) -> None:
        self.spec, self.folder, self.channel = job.spec, job.folder, channel
        self.base, self.adapter = Path(job.spec["base_model"]), Path(job.spec["adapter"])
        self.total = PARTS_BESIDE + 2 * len(job.spec["prompts"])
        self.done = 0

    def make(self) -> dict[str, Any]:
        self.limit = int(self.spec["max_new_tokens"])
        self._phase("loading", "Loading the model and its adapter")
        self.tokenizer = merged.tokenizer_of(self.base, self.adapter)
        self.stops = stop_token_ids(self.tokenizer)
        tuned = merged.load_tuned(self.base, self.adapter)
        if self.spec["container"] == "gguf":
            gguf_file.check(tuned.config)  # before minutes of work
        self._room(tuned)
        self._step()
        self._phase("asking", "Asking the tuned model what the export will be held against")
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
        """Returns what loads it back."""
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
        self, load_back: Callable[[], Any], readings: list[parity.Reading]
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
                NOT_THE_SAME.format(
                    same_tokens=found.same_tokens, tokens=found.tokens, share=share
                ),
            )
        return found.to_json()

    def _pack(self, draft: Path, found: dict[str, Any]) -> dict[str, Any]:
        """One zip, not compressed: weights do not shrink."""
        files = sorted(path for path in draft.rglob("*") if path.is_file())
        gguf = next((path.name for path in files if path.suffix == ".gguf"), "model")
        text = readme(self.spec, gguf, found, ollama=(draft / "Modelfile").exists())
        (draft / "README.txt").write_text(text, encoding="utf-8")
        path = self.folder / f"{self.spec['name']}-{self.spec['number_format']}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as packed:
            for one in [draft / "README.txt", *files]:
                self._look()
                packed.write(one, one.relative_to(draft.parent))
        shutil.rmtree(draft.parent)
        self._step()
        return {"file": path.name, "size": path.stat().st_size, "sha256": sha256_of(path)}

    def _room(self, model: Any) -> None:
        """Draft and zip lie beside each other for a while."""
        sizes = {"fp32": 4.0, "bf16": 2.0, "f16": 2.0, "q8_0": 1.07}
        bytes_each = sizes[self.spec["number_format"]]
        needed = 2 * ROOM * bytes_each * sum(p.numel() for p in model.parameters())
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise UserError(
                "no_disk",
                f"This export needs {needed / 1e9:.1f} GB on the disk for a while, and "
                f"{free / 1e9:.1f} GB are free. Free some space, then press Continue.",
            )

    def _phase(self, phase: str, message: str) -> None:
        self.channel.emit("phase", phase=phase, message=message)
        self._look()

    def _step(self) -> None:
        self.done += 1
        self.channel.emit("progress", done=self.done, total=self.total, unit="parts")
        self._look()

    def _look(self) -> None:
        self.channel.check()
        if self.channel.stopping():
            raise Stopped
