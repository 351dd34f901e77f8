"""What a second host brings: pages, tokens and trainings of one host and of two, side by side.

Each host has one core of this computer, where it has two. PostgreSQL, Redis, the store, the proxy,
and who asks take their time from the same two, so twice as much cannot be seen here; how much they
took is printed.
"""

import itertools
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress

import httpx
import openai
import psutil

from tests.browser.person import seconds_since
from tests.load.conftest import status, train
from tests.rack import jobs
from tests.rack.hosts import MOST_SECONDS, Host, Rack
from tests.rack.journey import Live, Tell, without_power
from tests.worker.conftest import wait_for

READERS, STREAMS, TRAININGS = 8, 48, 4
SECONDS = 30.0
Work = Callable[[Rack, Live], float]


def test_what_a_second_host_brings(rack: Rack, live: Live, tell: Tell):
    measured: dict[str, Work] = {
        f"pages a second, {READERS} readers": pages_a_second,
        f"tokens a second, {STREAMS} streams": tokens_a_second,
        f"trainings an hour, {TRAININGS} waiting": trainings_an_hour,
    }
    for name, work in measured.items():
        one, two = (measure(rack, live, work, alone=alone) for alone in (True, False))
        tell("nothing", name, f"one host {one}, two {two}")
    jobs.assert_none_lost_or_doubled(rack)


def measure(rack: Rack, live: Live, work: Work, *, alone: bool) -> str:
    """What the work comes to, and the cores that were not the hosts' own meanwhile."""
    with with_a_core_each(rack), without_power(rack, rack.two) if alone else nullcontext():
        live.program.asks_often()  # so that no engine has to load the model first
        began, used = time.monotonic(), seconds_used(rack)
        done = work(rack, live)
        others = (seconds_used(rack) - used) / seconds_since(began)
    return f"{done:.1f} ({others:.1f} cores for what they share)"


@contextmanager
def with_a_core_each(rack: Rack) -> Iterator[None]:
    """Processes stay on the cores of who starts them, and so do their own."""
    everywhere = os.sched_getaffinity(0)
    cores = itertools.cycle(sorted(everywhere))
    try:
        for host, core in zip(rack.both, cores, strict=False):
            os.sched_setaffinity(0, {core})
            start_again(rack, host)
        os.sched_setaffinity(0, everywhere)
        yield
    finally:
        os.sched_setaffinity(0, everywhere)
        for host in rack.both:
            start_again(rack, host)


def start_again(rack: Rack, host: Host) -> None:
    with without_power(rack, host):
        pass


def family(host: Host) -> Iterator[psutil.Process]:
    for managed in host.manager.processes:
        if managed.process is not None:
            with suppress(psutil.Error):
                main = psutil.Process(managed.process.pid)
                yield from [main, *main.children(recursive=True)]


def seconds_used(rack: Rack) -> float:
    """Of the processor, by the services that all hosts share and by whoever asks."""
    processes = [psutil.Process()]
    for host in (rack.proxy, rack.db, rack.redis, rack.store):
        processes += family(host)
    total = 0.0
    for one in processes:
        with suppress(psutil.Error):
            spent = one.cpu_times()
            total += spent.user + spent.system
    return total


def pages_a_second(rack: Rack, live: Live) -> float:
    cookies = {one["name"]: one["value"] for one in live.mara.page.context.cookies()}
    pages = [rack.site, live.goal, f"{live.goal}dataset/", f"{live.goal}training/"]

    def read(until: float) -> int:
        count = 0
        with httpx.Client(cookies=cookies, timeout=60, follow_redirects=True) as client:
            while time.monotonic() < until:
                told = client.get(pages[count % len(pages)])
                assert told.status_code == 200, told.url
                assert "sign-in" not in told.url.path
                count += 1
        return count

    return _at_once(read, READERS) / SECONDS


def tokens_a_second(rack: Rack, live: Live) -> float:
    def ask(until: float) -> int:
        count = 0
        while time.monotonic() < until:
            count += live.program.tokens(64)
        return count

    began = time.monotonic()
    return _at_once(ask, STREAMS) / seconds_since(began)


def _at_once(work: Callable[[float], int], clients: int) -> int:
    until = time.monotonic() + SECONDS
    with ThreadPoolExecutor(clients) as pool:
        return sum(pool.map(work, [until] * clients))


def trainings_an_hour(rack: Rack, live: Live) -> float:
    """Through the API, where each has a goal of its own: a goal trains once at a time."""
    began = time.monotonic()
    with openai.OpenAI(base_url=f"{rack.site}/v1", api_key=live.program.key) as client:
        started = [train(client, rows=24, epochs=1) for _ in range(TRAININGS)]
        for one in started:
            wait_for(lambda one=one: status(client, one) == "succeeded", 4 * MOST_SECONDS)
    return TRAININGS * 3600 / seconds_since(began)
