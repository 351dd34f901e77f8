"""Validates requests for a fine-tuning job, after OpenAI's API reference."""

from dataclasses import dataclass
from typing import Any, Literal

from finetune_app.basemodels.automatic_settings import DPO, SUPERVISED
from finetune_app.gateway.errors import ApiError
from finetune_app.gateway.json_body import JsonObject, read_json_object
from finetune_app.training.methods import METHODS

Auto = Literal["auto"]
MAX_EPOCHS = 50
MAX_BATCH_SIZE = 64


@dataclass(frozen=True)
class Hyperparameters:
    """ "auto": the application's automatic settings."""

    n_epochs: int | Auto = "auto"
    batch_size: int | Auto = "auto"
    learning_rate_multiplier: Auto = "auto"
    beta: float | Auto = "auto"  # of dpo alone


@dataclass(frozen=True)
class JobRequest:
    """A validated request. Files are given by their public ids; "" for no validation file."""

    model: str
    training_file: str
    validation_file: str
    suffix: str
    seed: int | None
    method: str
    hyperparameters: Hyperparameters
    metadata: dict[str, str]


def parse_job_request(body: bytes) -> JobRequest:
    """Raises ApiError."""
    given = read_json_object(body)
    method = _method(given)
    return JobRequest(
        model=_required_text(given, "model"),
        training_file=_required_text(given, "training_file"),
        validation_file=str(given.get("validation_file") or ""),
        suffix=_suffix(given.get("suffix")),
        seed=_seed(given.get("seed")),
        method=method,
        hyperparameters=_hyperparameters(given, method),
        metadata=_metadata(given.get("metadata")),
    )


def _required_text(given: JsonObject, name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not value:
        raise ApiError(400, f"“{name}” is missing.", param=name)
    return value


def _method(given: JsonObject) -> str:
    method = _object(given, "method").get("type", SUPERVISED)
    if method not in METHODS:
        names = " or ".join(METHODS)
        raise ApiError(400, f"The “method” here is {names}.", param="method")
    return str(method)


def _hyperparameters(given: JsonObject, method: str) -> Hyperparameters:
    """From “method”, or from the older top-level field “hyperparameters”."""
    inner = _object(_object(given, "method"), method).get("hyperparameters")
    found = _object({"hyperparameters": inner or given.get("hyperparameters")}, "hyperparameters")
    n_epochs = _whole_number_or_auto(found, "n_epochs", MAX_EPOCHS)
    batch_size = _whole_number_or_auto(found, "batch_size", MAX_BATCH_SIZE)
    if found.get("learning_rate_multiplier", "auto") not in ("auto", 1, 1.0):
        raise ApiError(
            400,
            "“learning_rate_multiplier” is not done here; leave it at “auto”.",
            param="learning_rate_multiplier",
        )
    beta = _beta(found) if method == DPO else "auto"
    return Hyperparameters(n_epochs, batch_size, beta=beta)


def _beta(found: JsonObject) -> float | Auto:
    value = found.get("beta", "auto")
    if value == "auto":
        return "auto"
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 2:
        raise ApiError(400, "“beta” is “auto” or a number above 0 and up to 2.", param="beta")
    return float(value)


def _whole_number_or_auto(found: JsonObject, name: str, maximum: int) -> int | Auto:
    value = found.get(name, "auto")
    if value == "auto":
        return "auto"
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= maximum:
        raise ApiError(400, f"“{name}” is “auto” or 1 to {maximum}.", param=name)
    return value


def _object(given: JsonObject, name: str) -> JsonObject:
    value = given.get(name) or {}
    if not isinstance(value, dict):
        raise ApiError(400, f"“{name}” must be a JSON object.", param=name)
    return value


def _suffix(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or not 1 <= len(value) <= 64 or not value.isprintable():
        raise ApiError(400, "“suffix” is a line of 1 to 64 characters.", param="suffix")
    return value


def _seed(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise ApiError(400, "“seed” is a whole number.", param="seed")
    return value


def _metadata(value: Any) -> dict[str, str]:
    if value is None:
        return {}
    is_valid = (
        isinstance(value, dict)
        and len(value) <= 16
        and all(
            isinstance(text, str) and len(text) <= 512 and len(name) <= 64
            for name, text in value.items()
        )
    )
    if not is_valid:
        raise ApiError(400, "“metadata” is up to 16 short texts by name.", param="metadata")
    return dict(value)
