"""The environment of a test run; loaded with `-p` before Django reads its settings.

Each test process has its own data folder, deleted when the process ends.
"""

import atexit
import os
import shutil
import tempfile
from http.server import BaseHTTPRequestHandler
from typing import Any

os.environ["DATA_DIR"] = tempfile.mkdtemp(prefix="finetune-tests-")
os.environ.setdefault("LOG_LEVEL", "WARNING")
os.environ.setdefault("FINETUNE_NICENESS", "0")  # children run at normal priority
# Tiny models are fastest on one thread, and the test processes already share the cores.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # Playwright's loop beside the ORM
# A provider that does not answer; tests/accounts/provider.py runs one that does.
os.environ.setdefault("OIDC_ISSUER", "http://127.0.0.1:9")
os.environ.setdefault("OIDC_CLIENT_ID", "finetune")
os.environ.setdefault("OIDC_CLIENT_SECRET", "a client secret")
os.environ.setdefault("OIDC_NAME", "Kettle ID")
# A stub sends the head and the body of an answer apart; the second would wait for the client to
# acknowledge the first, 40 ms a request.
BaseHTTPRequestHandler.disable_nagle_algorithm = True

_owner = os.getpid()


@atexit.register
def _tidy() -> None:
    if os.getpid() == _owner:
        shutil.rmtree(os.environ["DATA_DIR"], ignore_errors=True)


def pytest_addoption(parser: Any) -> None:
    parser.addoption(
        "--four-looks",
        action="store_true",
        help="open each page wide and narrow, in light and dark mode",
    )
