"""PostgreSQL, Redis or the store is killed, frozen or unplugged for a minute beside a training."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.person import MINUTES, seconds_since
from tests.rack import jobs
from tests.rack.conftest import examples
from tests.rack.hosts import MOST_SECONDS, Host, Rack
from tests.rack.journey import Live, Tell
from tests.worker.conftest import wait_for

AWAY_SECONDS = 60.0
PROCESS = {"db": "postgres", "redis": "redis", "store": "store"}
PARTS = ("database", "migrations", "broker", "store")  # of /readyz
OF_IT = {"db": {"database", "migrations"}, "redis": {"broker"}, "store": {"store"}}


def stop(host: Host) -> Callable[[], None]:
    name = PROCESS[host.name]
    host.kill(name)
    return lambda: host.start_again(name)


def freeze(host: Host) -> Callable[[], None]:
    host.send(PROCESS[host.name], signal.SIGSTOP)
    return lambda: host.send(PROCESS[host.name], signal.SIGCONT)


def unplug(host: Host) -> Callable[[], None]:
    host.net.unplug(host.name)
    return lambda: host.net.plug(host.name)


HOW = {"killed": stop, "frozen": freeze, "unplugged": unplug}
# The server in the manner of S3 holds its files in memory: killed, it has lost them.
AWAY = [(name, how) for name in PROCESS for how in HOW if (name, how) != ("store", "killed")]


@pytest.mark.parametrize(("name", "how"), AWAY)
def test_nothing_is_lost_while_it_is_away(
    rack: Rack, live: Live, tell: Tell, tmp_path: Path, name: str, how: str
):
    host = rack.hosts[name]
    live.program.asks_often()  # so that no engine has to load the model first
    with live.training(rack):
        before = jobs.newest(rack, "training")
        began = time.monotonic()
        back = HOW[how](host)
        try:
            said = seconds_until(rack, began, ready=False)
            parts = {part for one in rack.both for part in down(rack, one)}
            asked = live.program.ask(patience=30)
            asked_seconds = seconds_since(began) - said
            time.sleep(max(AWAY_SECONDS - seconds_since(began), 0))
        finally:
            back()
            back_at = time.monotonic()
        ready = seconds_until(rack, back_at, ready=True)
        wait_for(lambda: live.program.ask().is_whole, MOST_SECONDS)
        answered = seconds_since(back_at)
        wait_for(lambda: goes_on(rack, before), MOST_SECONDS)
        training = seconds_since(back_at)
        after = jobs.newest(rack, "training")
        seconds = new_job_seconds(rack, live, examples(tmp_path))
    again = max(before.done - after.resumed_at + 1, 0) if after.attempts > before.attempts else 0
    tell(
        f"{name} ({how}, {AWAY_SECONDS:.0f} s)",
        "training, a program asks",
        f"both webs say so after {said:.1f} s ({', '.join(sorted(parts))}); "
        f"a request meanwhile: {asked.status} after {asked_seconds:.1f} s; "
        f"once it is back: ready after {ready:.1f} s, an answer after {answered:.1f} s, "
        f"the training does new steps after {training:.0f} s ({again:.0f} done again), "
        f"a new job is done after {seconds:.0f} s",
    )
    assert parts == OF_IT[name]
    jobs.assert_none_lost_or_doubled(rack)


def down(rack: Rack, host: Host) -> list[str]:
    _status, told = rack.ready(host)
    return [part for part in PARTS if told.get(part) == "down"]


def seconds_until(rack: Rack, since: float, *, ready: bool) -> float:
    """Until both webs say that they are ready, or not."""
    wait_for(lambda: all(rack.is_ready(host) == ready for host in rack.both), MOST_SECONDS)
    return seconds_since(since)


def goes_on(rack: Rack, before: jobs.JobRow) -> bool:
    """Whether the training has done a step that it had not done before."""
    job = jobs.newest(rack, "training")
    return job.is_running and job.done > before.done


def new_job_seconds(rack: Rack, live: Live, file: Path) -> float:
    """A person brings a file; until a worker has read it."""
    page = live.mara.page
    page.goto(f"{live.goal}dataset/add/")
    page.locator("input[type=file]").first.set_input_files(file)
    began = time.monotonic()
    page.get_by_role("button", name="Look at it").click()
    page.wait_for_url("**/imports/*/", timeout=2 * MINUTES)
    wait_for(lambda: jobs.newest(rack, "import").state == "succeeded", MOST_SECONDS)
    return seconds_since(began)
