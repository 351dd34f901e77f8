"""YAML 1.2 as JavaScript programs write it, where `yes` and 2026-11-28 are texts."""

import re
from typing import Any

import yaml

MAX_VALUES = 500_000  # repeated ones count each time: a few lines can stand for billions

_BOOL, _INT, _FLOAT = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_KEPT = ("tag:yaml.org,2002:null", "tag:yaml.org,2002:merge")


class InvalidYaml(ValueError):
    """The message is for the user."""


class _Loader(yaml.CSafeLoader):  # the one in Python takes a minute for a few megabytes
    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag in _KEPT]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(
    _BOOL, re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), list("tTfF")
)
_Loader.add_implicit_resolver(
    _INT, re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})\Z"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    _FLOAT,
    re.compile(r"[-+]?(?:[0-9]+\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?\Z"),
    list("-+0123456789"),
)


def read_yaml(content: bytes) -> Any:
    """The document as dictionaries, lists, texts and numbers; JSON is YAML too.

    Raises InvalidYaml.
    """
    try:
        found = yaml.load(content, Loader=_Loader)
    except yaml.MarkedYAMLError as problem:
        line = f"line {problem.problem_mark.line + 1}: " if problem.problem_mark else ""
        raise InvalidYaml(f"{line}{problem.problem or problem.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise InvalidYaml("it is no text in UTF-8, or is nested too deeply") from None
    _require_finite(found)
    return found


def _require_finite(found: Any) -> None:
    """Aliases can make a value a part of itself, or of so many others that it would never end."""
    waiting, seen = [found], 0
    while waiting:
        value = waiting.pop()
        seen += 1
        if seen > MAX_VALUES:
            raise InvalidYaml(f"it has more than {MAX_VALUES:,} values")
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
