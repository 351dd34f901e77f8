"""Process ids are unique across reboots, containers and reused pids."""

import os
import subprocess
import sys

from finetune_app.jobs import process_ids


def sleeper(code: str = "import time; time.sleep(60)") -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", code], start_new_session=True, stdout=subprocess.PIPE, text=True
    )


def test_this_process_is_here_and_alive():
    assert process_ids.is_on_this_machine(process_ids.process_id())
    assert process_ids.is_alive(process_ids.process_id())


def test_a_reused_pid_is_another_process_and_is_not_killed():
    process = sleeper()
    try:
        machine, pid, start = process_ids.process_id(process.pid).rsplit(":", 2)
        older = f"{machine}:{pid}:{int(start) - 1}"
        assert not process_ids.is_alive(older)
        assert process_ids.kill(older)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_kill_ends_the_whole_session():
    code = (
        "import subprocess, sys, time\n"
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid,"
        " flush=True)\n"
        "time.sleep(60)"
    )
    process = sleeper(code)
    grandchild = int(process.stdout.readline())
    name = process_ids.process_id(process.pid)
    assert process_ids.start_time(grandchild)
    os.kill(process.pid, 9)
    process.wait()
    assert process_ids.kill(name)
    assert process_ids.start_time(grandchild) is None


def test_kill_ignores_processes_of_other_machines():
    assert not process_ids.is_on_this_machine("another-host:1:1")
    assert process_ids.kill("another-host:1:1")
