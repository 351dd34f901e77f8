"""The catalogue of base models, read from catalogue.toml."""

import os
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from finetune_app.basemodels.memory_plan import ModelShape

STARTER = "smollm2-135m-instruct"  # every installation has it
PUBLIC_HUB = "https://huggingface.co"  # the default of HF_ENDPOINT
GROUPS = ("starter", "small", "medium", "large")
FILE = Path(__file__).with_name("catalogue.toml")


def hub_address() -> str:
    """Of the model hub, without a slash at its end. Read without settings, too."""
    return (os.environ.get("HF_ENDPOINT") or PUBLIC_HUB).rstrip("/")


@dataclass(frozen=True)
class CatalogueEntry:
    """A known base model. `context` is in tokens, `size_gb` in 10^9 bytes."""

    slug: str
    name: str
    hub_id: str
    group: str
    licence: str
    languages: str
    model_type: str
    parameters: int
    layers: int
    hidden: int
    inner: int
    heads: int
    kv_heads: int
    head_size: int
    vocabulary: int
    context: int
    size_gb: float
    good_for: str
    too_small_for: str
    gated: bool = False

    @property
    def shape(self) -> ModelShape:
        return ModelShape(
            self.parameters,
            self.layers,
            self.hidden,
            self.vocabulary,
            inner=self.inner,
            heads=self.heads,
            kv_heads=self.kv_heads,
            head_size=self.head_size,
            model_type=self.model_type,
        )


@lru_cache(maxsize=1)
def catalogue() -> tuple[CatalogueEntry, ...]:
    """All entries, smallest first."""
    with FILE.open("rb") as file:
        found = [CatalogueEntry(**row) for row in tomllib.load(file)["model"]]
    return tuple(sorted(found, key=lambda entry: entry.parameters))


def entry_of(slug: str) -> CatalogueEntry | None:
    return next((entry for entry in catalogue() if entry.slug == slug), None)


def entry_with_hub_id(hub_id: str) -> CatalogueEntry | None:
    """The entry with this hub id, ignoring case as hubs do."""
    return next((one for one in catalogue() if one.hub_id.lower() == hub_id.lower()), None)
