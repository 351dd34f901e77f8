"""Reads the JSON body of a request and validates single fields of it."""

import json

from finetune_app.core.storable_text import storable_json
from finetune_app.gateway.errors import invalid_request

JsonObject = dict[str, object]


def read_json_object(body: bytes) -> JsonObject:
    """Raises ApiError if the body is not a JSON object."""
    try:
        given = storable_json(json.loads(body or b"null"))
    except (ValueError, RecursionError):
        raise invalid_request("The body is not valid JSON.") from None
    if not isinstance(given, dict):
        raise invalid_request("The body must be a JSON object.")
    return given


def model_field(given: JsonObject) -> str:
    """Raises ApiError if there is no model."""
    model = given.get("model")
    if not isinstance(model, str) or not model:
        raise invalid_request("Say which model: “model” is missing.", "model")
    return model


def number_field(
    given: JsonObject, name: str, default: float, minimum: float, maximum: float
) -> float:
    """The field's number, or `default` where it is missing or null. Raises ApiError."""
    value = given.get(name)
    if value is None:
        return default
    is_bool = isinstance(value, bool)
    if is_bool or not isinstance(value, int | float) or not minimum <= value <= maximum:
        raise invalid_request(f"“{name}” must be a number from {minimum:g} to {maximum:g}.", name)
    return value
