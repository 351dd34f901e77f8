"""Each kind of process is killed, on each host: the other's goes on."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest

from tests.browser.person import MINUTES, seconds_since
from tests.rack import jobs
from tests.rack.hosts import MOST_SECONDS, Host, Rack
from tests.rack.journey import Live, Tell
from tests.rack.program import Answer
from tests.worker.conftest import wait_for

UPLOAD_BYTES = 500_000_000
ROW = "Where is order number 4471?,Your order left our workshop on Monday and is on its way.\n"
STREAMS = 4
HOSTS = ("host-1", "host-2")


@pytest.fixture
def large_file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "large.csv"
    with path.open("w") as file:
        file.write("prompt,answer\n")
        for _ in range(UPLOAD_BYTES // (1000 * len(ROW))):
            file.write(1000 * ROW)
    yield path
    path.unlink()


def test_a_large_upload_goes_on_while_each_web_and_then_a_light_worker_is_killed(
    rack: Rack, live: Live, tell: Tell, large_file: Path
):
    page, webs = live.mara.page, Counter[str]()
    page.on(
        "response",
        lambda told: "?offset=" in told.url and webs.update([told.headers.get("x-web", "proxy")]),
    )
    page.goto(f"{live.goal}dataset/add/")
    page.locator("input[type=file]").first.set_input_files(large_file)
    began = time.monotonic()
    page.get_by_role("button", name="Look at it").click()
    for host, share in ((rack.one, 0.25), (rack.two, 0.6)):
        at = wait_for(lambda share=share: arrived(rack, share * UPLOAD_BYTES), MOST_SECONDS)
        host.kill("web")
        wait_for(lambda at=at: arrived(rack, at), MOST_SECONDS)
        host.start_again("web")
        wait_for(lambda host=host: rack.is_ready(host), MOST_SECONDS)
    page.wait_for_url("**/imports/*/", timeout=10 * MINUTES)
    pieces = ", ".join(f"{count} by {web}" for web, count in sorted(webs.items()))
    size = large_file.stat().st_size / 1e6
    tell(
        "web of host-1, then of host-2",
        f"an upload of {size:.0f} MB in pieces",
        f"whole after {seconds_since(began):.0f} s; pieces answered: {pieces}",
    )
    stored = rack.rows("SELECT size FROM datasets_import ORDER BY id DESC LIMIT 1")
    assert stored == [(large_file.stat().st_size,)]
    wait_for(lambda: jobs.newest(rack, "import").is_running, MOST_SECONDS)
    happened = jobs.taken_over(rack, "import", killing("light"))
    tell("light worker", "a file of 500 MB is read", happened)
    restart(rack, "light")
    page.get_by_role("button", name="Cancel").first.click()


def arrived(rack: Rack, more_than: float) -> int:
    """Bytes of the upload under way, if they are more; else 0."""
    found = rack.rows("SELECT received FROM imports_upload WHERE received > %s", more_than)
    return int(found[0][0]) if found else 0


def restart(rack: Rack, name: str) -> None:
    """On the hosts where it has been killed."""
    for host in rack.both:
        if not host.process(name).is_alive():
            host.start_again(name)


def test_a_training_goes_on_when_its_worker_is_killed(rack: Rack, live: Live, tell: Tell):
    with live.training(rack):
        for also in ((), ("clock",)):  # then only the other host's clock can see it
            for _each_host in HOSTS:
                happened = jobs.taken_over(rack, "training", killing("heavy", *also))
                tell(" and ".join(["heavy worker at work", *also]), "training", happened)
                for name in ("heavy", *also):
                    restart(rack, name)
    jobs.assert_none_lost_or_doubled(rack)


def killing(*names: str) -> Callable[[Host], None]:
    def kill(host: Host) -> None:
        for name in names:
            host.kill(name)

    return kill


@pytest.mark.parametrize("name", HOSTS)
@pytest.mark.parametrize("how", ["kill -9", "power"])
def test_when_an_engine_is_killed_its_streams_end_and_the_other_answers(
    rack: Rack, live: Live, tell: Tell, name: str, how: str
):
    host, program = rack.hosts[name], live.program
    program.asks_often()
    with ThreadPoolExecutor(STREAMS) as pool:
        begun = [Event() for _ in range(STREAMS)]
        streams = [pool.submit(program.stream, begun=one) for one in begun]
        assert all(one.wait(MOST_SECONDS) for one in begun)
        with dead(rack, host, how):
            killed_at = time.monotonic()
            asked = program.ask()
            seconds = seconds_since(killed_at)
            ended = [one.result() for one in streams]
    tell(
        f"engine of {name} ({how})",
        f"{STREAMS} streams and a new request",
        f"the request {'answered' if asked.is_whole else asked.problem} after {seconds:.1f} s; "
        f"{streams_in_words(ended, killed_at)}",
    )
    assert asked.is_whole
    if how == "kill -9":  # else the web that some came through is gone, too
        assert all(one.is_whole or "cannot be reached" in one.problem for one in ended)


@contextmanager
def dead(rack: Rack, host: Host, how: str) -> Iterator[None]:
    """Its engine, or with it all of the host; until the block ends."""
    host.kill("engine") if how == "kill -9" else host.lose_power()
    try:
        yield
    finally:
        host.start_again("engine") if how == "kill -9" else host.power_up()
        wait_for(lambda: rack.is_ready(host) and host.says_healthy("engine"), MOST_SECONDS)


def streams_in_words(ended: list[Answer], since: float) -> str:
    broken = [one for one in ended if not one.is_whole]
    told = "; ".join(
        f"one by {one.web} ended after {one.ended_at - since:.1f} s with “{one.problem}”"
        for one in broken
    )
    return f"{len(ended) - len(broken)} streams to their end" + (f"; {told}" if told else "")


def test_the_proxy_is_killed_and_started_again(rack: Rack, live: Live, tell: Tell):
    with ThreadPoolExecutor(1) as pool:
        begun = Event()
        stream = pool.submit(live.program.stream, begun=begun)
        assert begun.wait(MOST_SECONDS)
        killed_at = time.monotonic()
        rack.proxy.kill("haproxy")
        rack.proxy.start_again("haproxy")
        wait_for(lambda: live.program.ask().is_whole, MOST_SECONDS)
        seconds = seconds_since(killed_at)
        broken = stream.result()
    live.mara.page.goto(live.goal)
    tell(
        "the proxy, started again at once",
        "a stream, then requests",
        f"{streams_in_words([broken], killed_at)}; the next answer after {seconds:.1f} s; "
        "who was signed in still is",
    )
    assert "sign-in" not in live.mara.page.url
