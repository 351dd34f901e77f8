#!/usr/bin/env python3
"""What `make run` and `make test` need: a virtual environment with everything in it.

Only the standard library, and no syntax newer than Python 3.6, so that an old Python gets a
sentence instead of a traceback.

    python3 bootstrap.py run            install what is missing, prepare, start
    python3 bootstrap.py install [dev]  only install; dev adds what tests and checks need
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = Path(os.environ.get("VENV") or HERE / ".venv")
PYTHON = VENV / "bin" / "python"
OLDEST = (3, 11)
QUICK_PIP = "pip>=26"  # takes 30 s for what that of Python 3.11 takes 42 s, from a warm cache
NEEDED_GB = 9  # the environment with a CUDA build of torch, the starter model, room to work
SIZES = {
    "Linux": "about 3 GB (PyTorch with its CUDA libraries; 0.5 GB where a CPU build is at hand)",
    "Darwin": "about 0.6 GB",
}


def main():
    wanted = sys.argv[1:] or ["run"]
    check_machine()
    install("dev" if wanted[0] == "install" and "dev" in wanted else "run")
    if wanted[0] == "run":
        start()


def check_machine():
    if sys.version_info < OLDEST:
        stop(
            "Finetune needs Python 3.11 or newer; this is {}. Install a newer one and run "
            "`make run PYTHON=python3.11`.".format(platform.python_version())
        )
    if platform.system() == "Windows":
        stop("On Windows, use Docker: `docker compose up` (see README.md).")
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        stop(
            "This Python cannot make virtual environments. On Debian or Ubuntu: "
            "`apt-get install python{}.{}-venv`, then run this again.".format(*sys.version_info[:2])
        )


def install(extra):
    """Install once for each state of pyproject.toml; a second start costs nothing."""
    stamp = VENV / ("installed-" + extra)
    state = fingerprint()
    if (stamp.exists() and stamp.read_text() == state) or dev_covers(extra, state):
        return
    free = shutil.disk_usage(str(HERE)).free / 1e9
    # pip comes last: without it an earlier attempt was interrupted.
    whole = PYTHON.exists() and any(PYTHON.parent.glob("pip*"))
    if not whole:
        if free < NEEDED_GB:
            stop(
                "There are {:.1f} GB free on this disk and Finetune needs about {} GB. Make room "
                "and run this again.".format(free, NEEDED_GB)
            )
        say(
            "Finetune installs itself into {}. It downloads {}.".format(
                VENV.name, SIZES.get(platform.system(), SIZES["Linux"])
            )
        )
        call(
            [sys.executable, "-m", "venv", "--clear", str(VENV)],
            "A virtual environment could not be made.",
        )
    else:
        say("Updating what is installed.")
    # OpenVINO, on Linux and x86: answers come a third faster; pip leaves it out on other systems.
    what = str(HERE) + ("[dev]" if extra == "dev" else "[openvino]")
    # An older one does as well, but takes longer: an index without it ends nothing.
    call(pip_install(["--upgrade", QUICK_PIP]), stderr=subprocess.DEVNULL)
    call(
        pip_install(["--no-compile", "-c", str(HERE / "constraints.txt"), "-e", what]),
        "The installation stopped. Check the network and the disk, then run this again; what is "
        "already downloaded is kept.",
        # Without setuptools' warnings about the editable installation.
        env=dict(os.environ, PYTHONWARNINGS="ignore"),
    )
    start_compiling()
    stamp.write_text(state)
    say("Installed.")


def pip_install(what):
    command = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    return [*command, "--progress-bar", "on" if sys.stderr.isatty() else "off", *what]


def start_compiling():
    """Byte-compile the libraries beside what comes next, which compiles what it needs sooner."""
    subprocess.Popen(
        ["nice", str(PYTHON), "-m", "compileall", "-q", "-j", "0", str(VENV / "lib")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def dev_covers(extra, state):
    stamp = VENV / "installed-dev"
    return extra == "run" and stamp.exists() and stamp.read_text() == state


def fingerprint():
    digest = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt"):
        digest.update((HERE / name).read_bytes())
    return digest.hexdigest()


def start():
    """Become the app, which first prepares the database and the starter model. -u: what it says is
    in order with what the programs say that it starts."""
    os.chdir(str(HERE))
    os.execv(str(PYTHON), [str(PYTHON), "-u", str(HERE / "manage.py"), "up", "--with-starter"])


def call(command, sentence="", **options):
    """Where it fails, the sentence ends this program; without one it goes on."""
    try:
        code = subprocess.call(command, cwd=str(HERE), **options)
    except KeyboardInterrupt:
        stop("Stopped. Run it again to go on.", 130)
    if code and sentence:
        stop(sentence, code)


def say(words):
    print(words, flush=True)


def stop(words, code=1):
    print(words, file=sys.stderr, flush=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
