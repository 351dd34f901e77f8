"""The result of an install job, shared by the web side and the worker."""

from typing import TypedDict


class ModelShape(TypedDict, total=False):
    """Empty where it is not known."""

    layers: int
    hidden: int
    vocabulary: int


class InstalledModel(TypedDict):
    """Fields of a BaseModel that are read from its files."""

    source: str
    revision: str
    architecture: str
    parameters: int
    context: int  # tokens
    size: int  # bytes
    files: dict[str, str]  # name -> sha256
    shape: ModelShape
