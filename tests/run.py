"""What `make test` runs, and one line about what this machine made it leave out.

    python -m tests.run            SQLite and the bundled Valkey
    python -m tests.run services   the same on PostgreSQL and Redis (without the browser again)
    python -m tests.run long       the minutes-long ones
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile

POSTGRES = os.environ.get("TEST_DATABASE_URL", "postgres://postgres@127.0.0.1:5432/test")
REDIS = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/9")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def main() -> int:
    wanted = sys.argv[1] if len(sys.argv) > 1 else "embedded"
    left_out = []
    marks = ["long"] if wanted == "long" else ["not long"]
    if not any(map(shutil.which, BROWSERS)):
        marks.append("not browser")
        left_out.append("the browser journey (no Chromium here)")
    elif wanted == "services":
        marks.append("not browser")
    # In a process of its own: converting the model needs memory that the tests want back.
    if subprocess.call([sys.executable, "-m", "tests.starter"]):
        left_out.append("what needs the starter model (it could not be fetched)")
    environment = dict(os.environ, DATA_DIR=tempfile.mkdtemp(prefix="finetune-tests-"))
    if wanted == "services":
        if not (listens(5432) and listens(6379)):
            print("Left out: the pass on PostgreSQL and Redis (neither runs here).")
            return 0
        environment |= {"DATABASE_URL": POSTGRES, "REDIS_URL": REDIS}
    elif not (listens(5432) and listens(6379)):
        left_out.append("the pass on PostgreSQL and Redis (not running here)")
    if left_out:
        print("Left out:", "; ".join(left_out) + ".", flush=True)
    command = [sys.executable, "-m", "pytest", "-q", "-m", " and ".join(marks)]
    try:
        return subprocess.call([*command, *sys.argv[2:]], env=environment)
    finally:
        shutil.rmtree(environment["DATA_DIR"], ignore_errors=True)


def listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
