"""A person's path through the proxy, from a file to the API, while each host dies in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.person import Person, seconds_since
from tests.rack import jobs
from tests.rack.hosts import MOST_SECONDS, Host, Rack
from tests.rack.program import Program
from tests.worker.conftest import wait_for

Tell = Callable[[str, str, str], None]
"""Adds a line to the table: what was killed, meanwhile, what happened."""

GOAL = {
    "what": "Say how two colours are mixed.",
    "name": "Colours",
    "prompt": "Mix red and green, order 7.",
    "answer": "red-green",
    "measure": "The exact answer",
}


@dataclass
class Live:
    """What the path leads to: a goal whose trained model answers programs."""

    mara: Person
    goal: str
    """Its address."""
    level: str
    words: str
    program: Program

    @contextmanager
    def training(self, rack: Rack) -> Iterator[None]:
        """A long training goes on meanwhile; once it has done some steps."""
        self.mara.page.goto(f"{self.goal}training/?new")
        self.mara.trains(passes=50)
        page = self.mara.page.url
        jobs.until_done(rack, "training", 0.002)
        try:
            yield
        finally:
            self.mara.page.goto(page)
            self.mara.click("^Stop")
            wait_for(lambda: jobs.newest(rack, "training").state == "stopped", MOST_SECONDS)


@contextmanager
def without_power(rack: Rack, host: Host) -> Iterator[None]:
    host.lose_power()
    try:
        yield
    finally:
        host.power_up()
        wait_for(lambda: rack.is_ready(host), MOST_SECONDS)


def walk(rack: Rack, mara: Person, tell: Tell, file: Path) -> Live:
    mara.page.set_default_timeout(120_000)
    arrives(rack, mara, tell, file)
    trains(rack, mara, tell)
    evaluates(rack, mara, tell)
    level, words = mara.verdict()
    goal = mara.page.url.partition("evaluation/")[0]
    return Live(mara, goal, level, words, goes_live(rack, mara, tell, goal))


def arrives(rack: Rack, mara: Person, tell: Tell, file: Path) -> None:
    with without_power(rack, rack.one):
        began = time.monotonic()
        mara.signs_up()
        mara.brings_a_goal(**GOAL)
        mara.brings_a_file(file)
        seconds = seconds_since(began)
    tell("host-1 (power)", "sign-up, goal, upload, freeze", f"all of it at host-2, {seconds:.0f} s")


def trains(rack: Rack, mara: Person, tell: Tell) -> None:
    with without_power(rack, rack.two):
        began = time.monotonic()
        mara.takes_the_starter()
        mara.trains(passes=2)
        jobs.until_done(rack, "training", 0)
        seconds = seconds_since(began)
    tell("host-2 (power)", "base model, first step", f"all of it at host-1, {seconds:.0f} s")
    for share in (0.3, 0.7):  # each host once, since the other takes it
        jobs.until_done(rack, "training", share)
        tell("the host at work (power)", "training", dies_at_work(rack, "training"))
    mara.waits_until_trained(minutes=40)


def dies_at_work(rack: Rack, kind: str) -> str:
    """The host that runs the job loses its power, and gets it back when the other has the job."""
    dead: list[Host] = []

    def kill(host: Host) -> None:
        host.lose_power()
        dead.append(host)

    happened = jobs.taken_over(rack, kind, kill)
    for host in dead:
        host.power_up()
        wait_for(lambda host=host: rack.is_ready(host), MOST_SECONDS)
    return happened


def evaluates(rack: Rack, mara: Person, tell: Tell) -> None:
    mara.click("^Evaluate$", where="#next")
    for share in (0.2, 0.6):
        jobs.until_done(rack, "evaluation", share)
        tell("the host at work (power)", "evaluation", dies_at_work(rack, "evaluation"))
    expect(mara.page.locator("#verdict")).to_be_visible(timeout=1_200_000)


def goes_live(rack: Rack, mara: Person, tell: Tell, goal: str) -> Program:
    mara.page.goto(f"{goal}deployment/")
    mara.click("^Go live$")
    mara.page.goto(f"{rack.site}/team/keys/new/")
    mara.type("What is it for", "A program")
    mara.type("Requests a minute", "6000")
    mara.type("Tokens a minute", "1000000")
    mara.click("Make the key")
    key = mara.reads("#key")
    name = rack.rows("SELECT name FROM deployment_deployment")[0][0]
    program = Program(rack.site, key, name)
    for host in rack.both:
        program.asks_often()
        with without_power(rack, host):
            began = time.monotonic()
            answer = program.ask()
            seconds = seconds_since(began)
            assert answer.is_whole, answer
        tell(f"{host.name} (power)", "a program asks at once", f"answered after {seconds:.1f} s")
    return program
