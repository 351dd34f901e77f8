"""The folder for the Unix sockets of an installation.

A socket's path is limited to about 104 bytes, so a long DATA_DIR uses a private folder in the
temporary directory instead, always the same one.
"""

import hashlib
import os
import tempfile
from pathlib import Path

MAX_PATH_BYTES = 100  # Linux allows 107, macOS 103
MAX_NAME_BYTES = len("engine.sock.new")  # the longest name, used until it listens


def run_folder(data_dir: Path) -> Path:
    """The folder for sockets, mode 0700; settings call this once."""
    folder = data_dir / "run"
    if len(os.fsencode(folder)) + 1 + MAX_NAME_BYTES > MAX_PATH_BYTES:
        key = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
        folder = Path(tempfile.gettempdir()) / f"finetune-{os.getuid()}-{key}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to somebody else; set TMPDIR to a folder of yours")
    folder.chmod(0o700)
    return folder
