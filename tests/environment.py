"""The environment of a test run; loaded with `-p` before Django reads its settings.

Each test process keeps its files in a folder of its own, which goes when the process ends.
"""

import atexit
import os
import shutil
import tempfile

os.environ["DATA_DIR"] = tempfile.mkdtemp(prefix="finetune-tests-")
os.environ.setdefault("LOG_LEVEL", "WARNING")
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # Playwright's loop beside the ORM

_owner = os.getpid()


@atexit.register
def _tidy() -> None:
    if os.getpid() == _owner:
        shutil.rmtree(os.environ["DATA_DIR"], ignore_errors=True)
