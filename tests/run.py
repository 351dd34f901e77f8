"""Runs the tests of `make test`, and reports which ones this machine cannot run.

python -m tests.run            SQLite and the bundled Valkey
python -m tests.run services   database tests on PostgreSQL and Redis (not the browser tests)
python -m tests.run long       the minutes-long ones
"""

import os
import shutil
import socket
import subprocess
import sys

POSTGRES = os.environ.get("TEST_DATABASE_URL", "postgres://postgres@127.0.0.1:5432/test")
REDIS = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/9")
PASSES = ("embedded", "services", "long")
FETCHED_FOR_LONG = {
    "tests.families.real_tokenizers": "the families of models (their tokenizers did not come)",
    "tests.openai_examples": "the example scripts of OpenAI's client (they did not come)",
    "benchmarks.llama_cpp": "what llama.cpp answers (it did not come)",
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def main() -> int:
    wanted = sys.argv[1] if len(sys.argv) > 1 else "embedded"
    if wanted not in PASSES:
        print(f"There is no pass called {wanted!r}; there are {', '.join(PASSES)}.")
        return 2
    services_here = listens(5432) and listens(6379)
    if wanted == "services" and not services_here:
        print("Left out: the pass on PostgreSQL and Redis (neither runs here).")
        return 0
    left_out = []
    browser_here = any(map(shutil.which, BROWSERS))
    if not browser_here:
        left_out.append("what drives a browser (no Chromium here)")
    if not services_here:
        left_out.append("the pass on PostgreSQL and Redis (not running here)")
    # A separate process, to free the memory of the model's conversion.
    if subprocess.call([sys.executable, "-m", "tests.starter"]):
        left_out.append("what needs the starter model (it could not be fetched)")
    if subprocess.call([sys.executable, "-m", "tests.node"]):
        left_out.append("what asks with OpenAI's JavaScript client (no Node, or it did not come)")
    if subprocess.call([sys.executable, "-m", "tests.python_clients"]):
        left_out.append("what asks with LangChain, LlamaIndex and LiteLLM (they did not come)")
    if wanted == "long":
        left_out += [
            what
            for module, what in FETCHED_FOR_LONG.items()
            if subprocess.call([sys.executable, "-m", module])
        ]
    if left_out:
        print("Left out:", "; ".join(left_out) + ".", flush=True)
    environment = dict(os.environ)
    # If set, every process would compile all tests again.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    if wanted == "services":
        environment |= {"DATABASE_URL": POSTGRES, "REDIS_URL": REDIS}
    codes = [
        subprocess.call(
            [sys.executable, "-m", "pytest", "-q", *part, *sys.argv[2:]], env=environment
        )
        for part in parts(wanted, browser_here)
    ]
    return int(any(codes))  # one killed by a signal is negative


def parts(wanted: str, browser_here: bool) -> list[list[str]]:
    """The options of each pytest run. Short tests are distributed by file to one process more than
    there are cores, since some wait for child processes; tests that start an installation run
    alone."""
    if wanted == "long":
        if not browser_here:
            return [["-s", "-m", "long and not browser"]]
        return [["-s", "-m", "long"], ["-s", "--four-looks", "tests/browser/test_axe.py"]]
    # In the order of the folders, else the browser tests, with few but long tests per file, come
    # last and keep one process busy while the others are idle.
    processes = str(min(8, (os.cpu_count() or 1) + 1))
    short = ["-n", processes, "--dist", "loadfile", "--no-loadscope-reorder", "-m"]
    if wanted == "services":
        return [[*short, "not long and not browser and not no_database and not one_database"]]
    if not browser_here:
        return [[*short, "not long and not browser"]]
    return [
        [*short, "not long and not alone"],
        ["-s", "-m", "alone and not long", "tests/browser"],
    ]


def listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
