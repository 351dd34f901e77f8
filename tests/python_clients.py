"""LangChain, LlamaIndex and LiteLLM for tests, in an environment of their own: .cache/clients.

    python -m tests.python_clients     fetch them, or report in one line why not

They want other versions of what Finetune uses, and are not part of it. Tests marked with
`needs_clients` are skipped without them.
"""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

PACKAGES = (
    "langchain-openai==1.7.4",
    "llama-index-llms-openai-like==0.8.1",
    "litellm==1.110.2",
)
CACHE = Path(__file__).resolve().parent.parent / ".cache" / "clients"
PYTHON = CACHE / "bin" / "python"
DONE = CACHE / "installed"
WHY_NOT = (
    "LangChain, LlamaIndex and LiteLLM are not here: python -m tests.python_clients fetches them"
)
SECONDS = 1200


def is_there() -> bool:
    return DONE.exists() and DONE.read_text() == "\n".join(PACKAGES)


needs_clients = pytest.mark.skipif(not is_there(), reason=WHY_NOT)


def main() -> int:
    if is_there():
        return 0
    venv.create(CACHE, clear=True, with_pip=True)
    command = [str(PYTHON), "-m", "pip", "install", "--quiet", *PACKAGES]
    try:
        failed = subprocess.run(command, timeout=SECONDS, capture_output=True).returncode
    except subprocess.TimeoutExpired:
        return 1
    if not failed:
        DONE.write_text("\n".join(PACKAGES))
    return failed


if __name__ == "__main__":
    sys.exit(main())
