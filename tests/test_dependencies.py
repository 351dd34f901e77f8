"""What is imported when the application starts comes with it, and with no extra."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from django.conf import settings
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.no_database

ROOT = Path(settings.BASE_DIR)
# Loaded only by `platforms.connect`, which says what to install.
CLIENTS = {"openai", "together", "fireworks", "google", "requests"}
OF_AN_EXTRA = {
    "finetune_app/remote_training/platforms": CLIENTS,
    "worker/engine/openvino": {"openvino"},  # imported by decoder.py, where it is installed
}
OURS = {"finetune_app", "worker"}


def test_nothing_of_an_extra_is_imported_at_start():
    installed = shipped()
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for folder in sorted(OURS)
        for path in sorted((ROOT / folder).rglob("*.py"))
        for name in imported_at_start(path)
        if name not in allowed_in(path) and not distributions_of(name) & installed
    ]
    assert wrong == []


def allowed_in(path: Path) -> set[str]:
    folder = str(path.parent.relative_to(ROOT))
    return OURS | sys.stdlib_module_names | OF_AN_EXTRA.get(folder, set())


def imported_at_start(path: Path) -> Iterator[str]:
    """The first parts of what the module imports outside of functions and of TYPE_CHECKING."""
    waiting = list(ast.parse(path.read_text()).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += [
                child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)
            ]


@cache
def distributions_of(name: str) -> frozenset[str]:
    return frozenset(map(canonicalize_name, packages_distributions().get(name, [])))


def shipped() -> set[str]:
    """The names of the project's dependencies and of all that these need, extras left out."""

    waiting = [
        Requirement(text)
        for text in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    ]
    found: set[str] = set()
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        if name in found and not one.extras:
            continue
        found.add(name)
        for text in _requires(name):
            needed = Requirement(text)
            extras = one.extras or {""}
            if needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in extras):
                waiting.append(needed)
    return found


def _requires(name: str) -> list[str]:
    try:
        return requires(name) or []
    except PackageNotFoundError:  # of another system or Python
        return []
