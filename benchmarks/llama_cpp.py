"""llama.cpp itself, as npm's node-llama-cpp brings it, built already. No part of Finetune.

python -m benchmarks.llama_cpp        fetch it into .cache/node (about 100 MB)
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from finetune_app.core.chat_messages import Message
from worker.chat_template import template_options
from worker.engine.requests import Completion

VERSION = "3.22.1"
FOLDER = Path(__file__).resolve().parent.parent / ".cache" / "node" / f"node-llama-cpp-{VERSION}"
MODULES = FOLDER / "node_modules"
ASKS = Path(__file__).with_name("llama_cpp.mjs")
BUILT = {
    ("Linux", "x86_64"): "linux-x64",
    ("Linux", "aarch64"): "linux-arm64",
    ("Darwin", "x86_64"): "mac-x64",
    ("Darwin", "arm64"): "mac-arm64-metal",
}
THREADS = 1  # several wait for each other in a loop, which takes for ever on a busy machine


def is_there() -> bool:
    return shutil.which("node") is not None and (MODULES / "node-llama-cpp").is_dir()


def answers(
    gguf: Path, conversations: Sequence[list[Message]], tokens: int
) -> tuple[list[list[int]], list[Completion]]:
    """What llama.cpp makes of the file alone, its template, its tokenizer and its ends of an
    answer: how it reads each conversation (token ids), and what it says, greedily."""
    given = {
        "modules": str(MODULES),
        "model": str(gguf),
        "conversations": list(conversations),
        "tokens": tokens,
        "options": template_options(thinking=False),
        "threads": THREADS,
    }
    done = subprocess.run(
        ["node", str(ASKS)], input=json.dumps(given), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"llama.cpp could not answer:\n{done.stderr[-2000:]}")
    found = json.loads(done.stdout)
    return [one["asked"] for one in found], [
        Completion(
            one["text"],
            len(one["answer"]),
            "stop" if one["ended"] else "length",
            0.0,
            len(one["asked"]),
            one["answer"],
        )
        for one in found
    ]


def main() -> int:
    built = BUILT.get((platform.system(), platform.machine()))
    npm = shutil.which("npm")
    if built is None or npm is None:
        print("npm is not here, or llama.cpp is not built for this machine there.")
        return 1
    # Of the builds, which are all optional, only the one for this machine.
    wanted = [f"node-llama-cpp@{VERSION}", f"@node-llama-cpp/{built}@{VERSION}"]
    return subprocess.call(
        [
            npm,
            "install",
            "--prefix",
            str(FOLDER),
            "--omit=optional",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--no-package-lock",
            "--loglevel",
            "error",
            *wanted,
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
