"""Fields of requests that are validated in the same way everywhere."""

from collections.abc import Iterable

from finetune_app.gateway.errors import ApiError
from finetune_app.gateway.json_body import JsonObject


def refuse_unknown(given: JsonObject, known: Iterable[str]) -> None:
    """Raises ApiError for a field that would otherwise be ignored."""
    unknown = next((name for name in given if name not in known and given[name] is not None), None)
    if unknown is not None:
        raise ApiError(
            400,
            f"Unknown parameter: “{unknown[:80]}”. Leave it out, or use one of {', '.join(known)}.",
            param=unknown[:80],
            code="unknown_parameter",
        )


def required_text(given: JsonObject, name: str) -> str:
    """Raises ApiError if it is missing, empty or not a text."""
    value = given.get(name)
    if not isinstance(value, str) or not value:
        raise ApiError(400, f"“{name}” is missing.", param=name)
    return value


def object_field(given: JsonObject, name: str) -> JsonObject:
    """{} where it is missing or null. Raises ApiError if it is not an object."""
    value = given.get(name) or {}
    if not isinstance(value, dict):
        raise ApiError(400, f"“{name}” must be a JSON object.", param=name)
    return value
