"""OpenAI's JavaScript client for tests, cached in .cache/node.

    python -m tests.node        fetch it, or report in one line why not

Installed with npm without running install scripts; not part of Finetune. Tests marked with
`needs_node` are skipped without it.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = "openai@7.57.0"
CACHE = Path(__file__).resolve().parent.parent / ".cache" / "node"
WHY_NOT = "Node and OpenAI's JavaScript client are not here: python -m tests.node fetches it"
SECONDS = 600
MODULES = CACHE / PACKAGE.replace("@", "-") / "node_modules"


def is_there() -> bool:
    return shutil.which("node") is not None and (MODULES / "openai" / "package.json").exists()


needs_node = pytest.mark.skipif(not is_there(), reason=WHY_NOT)


def main() -> int:
    if is_there():
        return 0
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        return 1
    command = [
        npm,
        "install",
        "--prefix",
        str(MODULES.parent),
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--no-package-lock",
        "--loglevel",
        "error",
        PACKAGE,
    ]
    try:
        return subprocess.run(command, timeout=SECONDS, capture_output=True).returncode
    except subprocess.TimeoutExpired:
        return 1


if __name__ == "__main__":
    sys.exit(main())
