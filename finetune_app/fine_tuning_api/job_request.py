"""Validates requests for a fine-tuning job, after OpenAI's API reference."""

from dataclasses import dataclass
from typing import Any, Literal

from finetune_app.basemodels.automatic_settings import DPO, SUPERVISED
from finetune_app.gateway.errors import ApiError
from finetune_app.gateway.json_body import JsonObject, read_json_object
from finetune_app.gateway.request_fields import (
    metadata_field,
    object_field,
    refuse_unknown,
    required_text,
)
from finetune_app.training.methods import METHODS

Auto = Literal["auto"]
MAX_EPOCHS = 50
MAX_BATCH_SIZE = 256
MAX_BETA = 2
MAX_RATE_MULTIPLIER = 10  # far below this learning falls apart already
FIELDS = (
    "model",
    "training_file",
    "validation_file",
    "suffix",
    "seed",
    "method",
    "hyperparameters",
    "metadata",
    "integrations",
)


@dataclass(frozen=True)
class Hyperparameters:
    """ "auto": the application's automatic settings.

    `learning_rate_multiplier`: a factor on the automatic learning rate."""

    n_epochs: int | Auto = "auto"
    batch_size: int | Auto = "auto"
    learning_rate_multiplier: float | Auto = "auto"
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
    refuse_unknown(given, FIELDS)
    _refuse_integrations(given.get("integrations"))
    method = _method(given)
    return JobRequest(
        model=required_text(given, "model"),
        training_file=required_text(given, "training_file"),
        validation_file=str(given.get("validation_file") or ""),
        suffix=_suffix(given.get("suffix")),
        seed=_seed(given.get("seed")),
        method=method,
        hyperparameters=_hyperparameters(given, method),
        metadata=metadata_field(given),
    )


def _refuse_integrations(value: Any) -> None:
    if value:
        raise ApiError(
            400,
            "“integrations” are not supported: metrics are not sent to other services. Read them "
            "as events, as checkpoints or in the result file of the job.",
            param="integrations",
            code="unsupported_parameter",
        )


def _method(given: JsonObject) -> str:
    of_method = object_field(given, "method")
    method = of_method.get("type", SUPERVISED)
    names = " or ".join(METHODS)
    if method == "reinforcement":
        raise ApiError(
            400,
            "The method “reinforcement” is not supported: nothing here learns from the rewards of "
            f"a grader. Use {names}.",
            param="method",
            code="unsupported_value",
        )
    if method not in METHODS:
        raise ApiError(400, f"The “type” of the “method” is {names}.", param="method")
    refuse_unknown(of_method, ("type", str(method)))
    return str(method)


def _hyperparameters(given: JsonObject, method: str) -> Hyperparameters:
    """From “method”, or from the older top-level field “hyperparameters”."""
    of_method = object_field(object_field(given, "method"), method)
    refuse_unknown(of_method, ("hyperparameters",))
    inner, older = (
        object_field(of_method, "hyperparameters"),
        object_field(given, "hyperparameters"),
    )
    if inner and older:
        raise ApiError(
            400,
            "“hyperparameters” are given twice. Give those of “method” alone.",
            param="hyperparameters",
        )
    found = inner or older
    beta = ("beta",) if method == DPO else ()
    refuse_unknown(found, ("n_epochs", "batch_size", "learning_rate_multiplier", *beta))
    return Hyperparameters(
        n_epochs=_whole_number_or_auto(found, "n_epochs", MAX_EPOCHS),
        batch_size=_whole_number_or_auto(found, "batch_size", MAX_BATCH_SIZE),
        learning_rate_multiplier=_number_or_auto(
            found, "learning_rate_multiplier", MAX_RATE_MULTIPLIER
        ),
        beta=_number_or_auto(found, "beta", MAX_BETA),
    )


def _number_or_auto(found: JsonObject, name: str, maximum: float) -> float | Auto:
    value = _or_auto(found, name)
    if value == "auto":
        return "auto"
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= maximum:
        raise ApiError(
            400, f"“{name}” is “auto” or a number above 0 and up to {maximum}.", param=name
        )
    return float(value)


def _or_auto(found: JsonObject, name: str) -> object:
    """null is the same as a field that is left out."""
    value = found.get(name)
    return "auto" if value is None else value


def _whole_number_or_auto(found: JsonObject, name: str, maximum: int) -> int | Auto:
    value = _or_auto(found, name)
    if value == "auto":
        return "auto"
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= maximum:
        raise ApiError(400, f"“{name}” is “auto” or 1 to {maximum}.", param=name)
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
