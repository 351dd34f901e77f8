"""YAML 1.2 as JavaScript programs write it, where `yes` and 2026-11-28 are texts."""

import re
from typing import Any

import yaml

from finetune_app.core.storable_text import storable_json

# Repeated ones count each time: a few lines can stand for billions.
MAX_VALUES = 500_000
MAX_CHARACTERS = 20_000_000

_BOOL, _INT, _FLOAT = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_MERGE = "tag:yaml.org,2002:merge"
_KEPT = ("tag:yaml.org,2002:null", _MERGE)
_TYPES = (*_KEPT, _BOOL, _INT, _FLOAT, *(f"tag:yaml.org,2002:{n}" for n in ("str", "seq", "map")))


class InvalidYaml(ValueError):
    """The message is for the user."""


class _Loader(yaml.CSafeLoader):  # the one in Python takes a minute for a few megabytes
    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag in _KEPT]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    # No dates, sets or bytes, which no JSON has; None refuses all other types.
    yaml_constructors = {
        tag: build
        for tag, build in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or tag in _TYPES
    }
    merged = 0

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """What merges (<<) bring is counted first: many of a large value take hours."""
        for key, value in node.value:
            if key.tag != _MERGE:
                continue
            for part in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if isinstance(part, yaml.MappingNode) and part is not node:
                    self.flatten_mapping(part)
                    self.merged += len(part.value)
                if self.merged > MAX_VALUES:
                    raise InvalidYaml(f"it has more than {MAX_VALUES:,} values")
        super().flatten_mapping(node)


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
        found = _Loader(content).get_single_data()
    except yaml.MarkedYAMLError as problem:
        line = f"line {problem.problem_mark.line + 1}: " if problem.problem_mark else ""
        raise InvalidYaml(f"{line}{problem.problem or problem.context}") from None
    except InvalidYaml:
        raise
    except (yaml.YAMLError, ValueError, RecursionError):
        raise InvalidYaml("it is no text in UTF-8, or is nested too deeply") from None
    except (LookupError, AttributeError):  # such as !!int ""
        raise InvalidYaml("a value in it is not what its type (!!…) says") from None
    _require_finite(found)
    try:
        return storable_json(found)
    except RecursionError:
        raise InvalidYaml("it is nested too deeply") from None


def _require_finite(found: Any) -> None:
    """Aliases can make a value a part of itself, or of so many others that it would never end."""
    waiting, values, characters = [found], 0, 0
    while waiting:
        value = waiting.pop()
        values += 1
        if isinstance(value, dict):
            waiting.extend(value.values())
            characters += sum(len(key) for key in value if isinstance(key, str))
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, str):
            characters += len(value)
        if values > MAX_VALUES:
            raise InvalidYaml(f"it has more than {MAX_VALUES:,} values")
        if characters > MAX_CHARACTERS:
            raise InvalidYaml(f"it has more than {MAX_CHARACTERS:,} characters")
