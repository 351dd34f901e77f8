"""What the engine says about itself just now."""

from pathlib import Path
from typing import Any

from finetune_app.core import engine_client

TIMEOUT_SECONDS = 1.5  # that a page waits for the engine


def engine_status() -> dict[str, Any] | None:
    """Memory, queue and what is loaded; None while it does not answer. The engine serves every
    team, so only the name of its model is shown."""
    try:
        found = engine_client.health_now(TIMEOUT_SECONDS)
    except engine_client.EngineUnavailable:
        return None
    base_model = found.get("base_model")
    return {**found, "model": Path(base_model).name if base_model else ""}
