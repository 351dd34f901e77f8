"""The name of the model that makes embeddings."""

import os
from pathlib import Path

PACKAGED_EMBEDDER = "all-minilm-l6-v2"


def model_name() -> str:
    """Its folder's name where the environment variable EMBEDDER names a folder."""
    return Path(os.environ.get("EMBEDDER") or PACKAGED_EMBEDDER).name
