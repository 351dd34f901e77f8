"""Fields of requests that are validated in the same way everywhere."""

from collections.abc import Iterable, Mapping
from datetime import timedelta

from finetune_app.gateway.errors import ApiError
from finetune_app.gateway.json_body import JsonObject

LIFETIMES = (3600, 2_592_000)  # seconds; an hour to 30 days


def refuse_unknown(given: Mapping[str, object], known: Iterable[str]) -> None:
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


def choice_field(given: Mapping[str, object], name: str, choices: Iterable[str]) -> str:
    """One of `choices`. Raises ApiError."""
    value, names = given.get(name), [str(one) for one in choices]
    if value not in names:
        raise ApiError(400, f"“{name}” is {' or '.join(f'“{one}”' for one in names)}.", param=name)
    return str(value)


def object_field(given: JsonObject, name: str) -> JsonObject:
    """{} where it is missing or null. Raises ApiError if it is not an object."""
    value = given.get(name) or {}
    if not isinstance(value, dict):
        raise ApiError(400, f"“{name}” must be a JSON object.", param=name)
    return value


def lifetime_field(given: JsonObject, name: str = "expires_after") -> timedelta | None:
    """From OpenAI's `expires_after`; None where it is missing. Raises ApiError."""
    found = object_field(given, name)
    if not found:
        return None
    refuse_unknown(found, ("anchor", "seconds"))
    seconds, (least, most) = found.get("seconds"), LIFETIMES
    is_whole = isinstance(seconds, int) and not isinstance(seconds, bool)
    if found.get("anchor") != "created_at" or not is_whole or not least <= seconds <= most:  # type: ignore[operator]
        raise ApiError(
            400,
            f"“{name}” has the “anchor” created_at and {least:,} to {most:,} “seconds”.",
            param=name,
        )
    return timedelta(seconds=seconds)  # type: ignore[arg-type]


def metadata_field(given: JsonObject) -> dict[str, str]:
    """Up to 16 texts by name; {} where it is missing. Raises ApiError."""
    value = given.get("metadata")
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
        raise ApiError(
            400,
            "“metadata” is up to 16 texts by name: names of up to 64 characters, texts of up to "
            "512.",
            param="metadata",
        )
    return dict(value)  # type: ignore[call-overload, no-any-return]
