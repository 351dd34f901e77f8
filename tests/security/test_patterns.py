"""No regular expression of the project takes more than linear time, whatever the text.

Every pattern of every module is given texts made from its own parts: what leads to a repetition,
the repetition very often, and an end that does not match.
"""

import ast
import importlib
import pkgutil
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import finetune_app
import worker

parser = re._parser  # type: ignore[attr-defined]
CHARACTERS = 200_000
# A linear pattern takes about 0.02 s and a quadratic one minutes, on a busy machine too.
LIMIT_SECONDS = 3.0
ENDS = ("\x00", "!")
ANCHORED = {"match", "fullmatch"}


class Usage(NamedTuple):
    source: Any  # str or bytes
    flags: int
    anchored: bool  # matched from the beginning of the text only
    where: str


def usages() -> list[Usage]:
    """Every pattern of the project, each once."""
    loaded = list(modules())
    sources = {one.__name__: Path(str(one.__file__)).read_text("utf-8") for one in loaded}
    methods = methods_by_name(sources.values())
    found: dict[tuple[Any, int], Usage] = {}
    for module in loaded:
        for name, value in vars(module).items():
            for pattern in patterns_in(value):
                anchored = bool(methods[name]) and methods[name] <= ANCHORED
                where = f"{module.__name__}.{name}"
                usage = Usage(pattern.pattern, pattern.flags, anchored, where)
                found.setdefault((pattern.pattern, pattern.flags), usage)
        for usage in inline_patterns(module.__name__, sources[module.__name__]):
            found.setdefault((usage.source, usage.flags), usage)
    return sorted(found.values(), key=lambda usage: usage.where)


def modules() -> Iterator[ModuleType]:
    for package in (finetune_app, worker):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if ".migrations" not in found.name and not found.name.endswith(".asgi"):
                yield importlib.import_module(found.name)


def methods_by_name(sources: Any) -> defaultdict[str, set[str]]:
    """The methods that are called on each name anywhere: {"_NUMBER": {"search"}}."""
    methods: defaultdict[str, set[str]] = defaultdict(set)
    for source in sources:
        for name, method in re.findall(r"\b([A-Z_]{2,})\.([a-z]+)\b", source):
            methods[name].add(method)
    return methods


def patterns_in(value: Any, depth: int = 2) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif depth and isinstance(value, dict):
        yield from patterns_in(list(value.values()), depth)
    elif depth and isinstance(value, list | tuple | set | frozenset):
        for one in value:
            yield from patterns_in(one, depth - 1)


def inline_patterns(module: str, source: str) -> Iterator[Usage]:
    """The constant patterns of calls such as re.sub("...", ...)."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="re"), attr=method),
                args=[ast.Constant(value=str(pattern)), *_],
            ) if method not in ("compile", "escape"):
                where = f"{module}:{node.lineno}"
                yield Usage(pattern, re.DOTALL | re.MULTILINE, method in ANCHORED, where)


# ---- Texts that are made from a pattern ----


def sample(nodes: Any) -> str:
    """A text that the nodes of a parsed pattern match, or nearly."""
    return "".join(_sample(op, argument) for op, argument in nodes)


def _sample(op: Any, argument: Any) -> str:
    name = str(op)
    if name == "LITERAL":
        return chr(argument)
    if name == "NOT_LITERAL":
        return "a" if argument != ord("a") else "b"
    if name == "ANY":
        return "a"
    if name == "IN":
        return _of_set(argument)
    if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        least, _most, body = argument
        return sample(body) * max(least, 1)
    if name == "SUBPATTERN":
        return sample(argument[-1])
    if name == "ATOMIC_GROUP":
        return sample(argument)
    if name == "BRANCH":
        return sample(argument[1][0])
    return ""  # positions and look-arounds take no character


USUAL = " a1\t\n.,-_/:@=+(\"'Aé<{`#"


def _of_set(items: Any) -> str:
    candidates = (*USUAL, *map(chr, range(0x2100)))
    return next((one for one in candidates if _in_set(one, items)), "a")


def _in_set(character: str, items: Any) -> bool:
    inside, negated = False, False
    for op, argument in items:
        name = str(op)
        if name == "NEGATE":
            negated = True
        elif name == "LITERAL":
            inside |= ord(character) == argument
        elif name == "RANGE":
            inside |= argument[0] <= ord(character) <= argument[1]
        elif name == "CATEGORY":
            inside |= _in_category(character, str(argument))
    return inside != negated


def _in_category(character: str, name: str) -> bool:
    kind = next(k for k in ("DIGIT", "SPACE", "WORD") if k in name)
    matches = re.fullmatch({"DIGIT": r"\d", "SPACE": r"\s", "WORD": r"\w"}[kind], character)
    return bool(matches) != ("NOT" in name)


def repetitions(nodes: Any, before: str = "") -> Iterator[tuple[str, str]]:
    """(what leads to a repetition, one round of it) for every repetition of the pattern."""
    for op, argument in nodes:
        name = str(op)
        if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            yield before, sample(argument[2])
            yield from repetitions(argument[2], before)
        elif name == "SUBPATTERN":
            yield from repetitions(argument[-1], before)
        elif name == "ATOMIC_GROUP":
            yield from repetitions(argument, before)
        elif name == "BRANCH":
            for branch in argument[1]:
                yield from repetitions(branch, before)
        before += _sample(op, argument)


def texts_for(usage: Usage) -> Iterator[str]:
    tree = parser.parse(usage.source, usage.flags)
    whole = sample(tree)
    texts = set()
    for before, round_ in [*repetitions(tree), ("", whole)]:
        for head, unit in ((before, round_), ("", before + round_), ("", round_ + whole)):
            if unit:
                texts |= {head + (unit * (CHARACTERS // len(unit))) + end for end in ENDS}
    yield from sorted(texts)


def seconds_for(usage: Usage, text: str) -> float:
    pattern: Any = re.compile(usage.source, usage.flags)
    given: Any = text if isinstance(usage.source, str) else text.encode("utf-8", "replace")
    began = time.process_time()
    if usage.anchored:
        pattern.match(given)
    else:
        for _match in pattern.finditer(given):
            pass
    return time.process_time() - began


def test_every_pattern_takes_linear_time():
    found = usages()
    assert len(found) > 80
    slowest, slow = (0.0, ""), []
    for usage in found:
        for text in texts_for(usage):
            seconds = seconds_for(usage, text)
            slowest = max(slowest, (seconds, usage.where))
            if seconds > LIMIT_SECONDS:
                slow.append(f"{usage.where}: {seconds:.0f} s for {text[:40]!r}...")
                break
    print(f"{len(found)} patterns, the slowest {slowest[0]:.2f} s: {slowest[1]}")
    assert not slow, "\n".join(slow)
