"""Names of processes that stay true."""

import os
import subprocess
import sys

from finetune_app.jobs import places


def sleeper(code: str = "import time; time.sleep(60)") -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", code], start_new_session=True, stdout=subprocess.PIPE, text=True
    )


def test_this_process_is_here_and_alive():
    assert places.is_here(places.name_of())
    assert places.is_alive(places.name_of())


def test_a_reused_number_is_not_the_same_process_and_is_never_killed():
    process = sleeper()
    try:
        machine, pid, start = places.name_of(process.pid).rsplit(":", 2)
        older = f"{machine}:{pid}:{int(start) - 1}"
        assert not places.is_alive(older)
        assert places.kill(older)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_kill_takes_what_the_child_started_itself():
    code = (
        "import subprocess, sys, time\n"
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid,"
        " flush=True)\n"
        "time.sleep(60)"
    )
    process = sleeper(code)
    grandchild = int(process.stdout.readline())
    name = places.name_of(process.pid)
    assert places.start_of(grandchild)
    os.kill(process.pid, 9)
    process.wait()
    assert places.kill(name)
    assert places.start_of(grandchild) is None


def test_a_process_elsewhere_is_left_to_its_own_machine():
    assert not places.is_here("another-host:1:1")
    assert places.kill("another-host:1:1")
