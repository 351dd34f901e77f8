"""What the web side and the worker share of base models: the result of an install job, a folder."""

from typing import NotRequired, TypedDict

KEPT = ".everyday"  # beside the base models: for each, a folder of what trainings keep of it


class SavedTensors(TypedDict):
    """Bytes that a decoder layer saves for the backward pass: for each token, and for each pair of
    tokens of a row."""

    token: float
    pair: float


class ModelDimensions(TypedDict, total=False):
    """Dimensions from config.json, 0 where it has none; empty where nothing is known.

    saved: by number format, counted (worker/training/memory_plan.py).
    """

    layers: int
    hidden: int
    vocabulary: int
    inner: int
    heads: int
    kv_heads: int
    head_size: int
    model_type: str
    saved: dict[str, SavedTensors]


class InstalledModel(TypedDict):
    """Fields of a BaseModel that are read from its files."""

    source: str
    revision: str
    architecture: str
    parameters: int
    context: int  # tokens
    size: int  # bytes
    files: dict[str, str]  # name -> sha256
    shape: ModelDimensions
    can_think: bool
    licence: NotRequired[str]  # as the hub told it
    gated: NotRequired[bool]
