"""The example scripts of OpenAI's Python client, as its source package has them, in
.cache/openai-examples.

    python -m tests.openai_examples     fetch them, or report in one line why not

They are of the same version as the client that is installed, and not part of Finetune. Tests
marked with `needs_examples` are skipped without them.
"""

import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

import pytest

VERSION = version("openai")
FOLDER = Path(__file__).resolve().parent.parent / ".cache" / "openai-examples" / VERSION
WHY_NOT = "OpenAI's example scripts are not here: python -m tests.openai_examples fetches them"
SECONDS = 300

needs_examples = pytest.mark.skipif(not FOLDER.exists(), reason=WHY_NOT)


def main() -> int:
    if FOLDER.exists():
        return 0
    FOLDER.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER.parent) as name:
        folder = Path(name)
        source = ["--no-deps", "--no-binary", "openai"]
        command = [sys.executable, "-m", "pip", "download", "--quiet", *source]
        try:
            subprocess.run(
                [*command, f"openai=={VERSION}"],
                cwd=folder,
                timeout=SECONDS,
                check=True,
                capture_output=True,
            )
            [packed] = folder.glob("*.tar.gz")
            with tarfile.open(packed) as archive:
                archive.extractall(folder, filter="data")
            [examples] = folder.glob("*/examples")
            examples.rename(FOLDER)
        except (OSError, subprocess.SubprocessError, tarfile.TarError, ValueError) as error:
            print(f"OpenAI's example scripts did not come: {error}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
