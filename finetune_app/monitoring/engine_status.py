"""The current state of the engine, for pages and metrics."""

from pathlib import Path

from finetune_app.core import engine_client
from finetune_app.core.engine_protocol import EngineHealth

TIMEOUT_SECONDS = 1.5  # that a page waits for the engine


class EngineStatus(EngineHealth):
    model: str  # name of the base model's folder, "" if none is loaded
    also: list[str]  # of the others


def engine_status() -> EngineStatus | None:
    """None while the engine does not answer."""
    try:
        health = engine_client.health_now(TIMEOUT_SECONDS)
    except engine_client.EngineUnavailable:
        return None
    base_model = health.get("base_model")
    also = [Path(folder).name for folder in health.get("also_loaded", ())]
    return {**health, "model": Path(base_model).name if base_model else "", "also": also}
