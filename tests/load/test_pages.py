"""Twenty pages of a large goal opened at a fixed rate while a training and the engine run, then a
burst.

    PAGE_SECONDS=60 python -m pytest -m long -s tests/load/test_pages.py

Prints tables for docs/benchmarks/pages.md. On PostgreSQL and Redis where they run, and on SQLite.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
import pytest

from benchmarks.large_goal import Size
from tests.installation import free_port
from tests.load import page_client
from tests.load.api_client import client_of, send_every_second
from tests.load.conftest import EMAIL, PASSWORD, Live, installation_with_model, send, train
from tests.load.process_samples import Growth, growth_of_each, sample_repeatedly
from tests.run import REDIS, listens

SECONDS = int(os.environ.get("PAGE_SECONDS", "900"))
SIZE = Size(rows=100_000, trainings=50, requests=1_000_000, goals=200)
BURST = 500
ATTACK = "secret is" + " " * 24_000  # kept patterns busy for twelve seconds once
SERVER = "postgres://postgres@127.0.0.1:5432"
MAX_ADDED_MIB = 64.0  # of a web process; a leak of 10 KB a page would be 88 MiB in half the time

pytestmark = [pytest.mark.long, pytest.mark.timeout(2 * SECONDS + 2400)]


@dataclass(frozen=True)
class Busy:
    """An installation, the addresses of its pages, and how many to open each second."""

    live: Live
    paths: list[str]
    rate: float


def busy_with_training(live: Live, rate: float) -> Busy:
    paths = page_client.fill(live.installation, SIZE)
    train(live.client, rows=400, epochs=50)
    return Busy(live, paths, rate)


@pytest.fixture(scope="module", params=["postgresql", "sqlite"])
def busy(request, tmp_path_factory) -> Iterator[Busy]:
    """An installation with a long training."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "sqlite":
        with installation_with_model(folder) as live:
            yield busy_with_training(live, rate=10.0)
        return
    if not (listens(5432) and listens(6379)):
        pytest.skip("PostgreSQL and Redis do not run here")
    name = f"pages_{free_port()}"
    with psycopg.connect(f"{SERVER}/postgres", autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        try:
            services = {"DATABASE_URL": f"{SERVER}/{name}", "REDIS_URL": REDIS}
            with installation_with_model(folder, services) as live:
                yield busy_with_training(live, rate=20.0)
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_pages_open_beside_a_training_and_the_engine(busy):
    outcomes, grown = asyncio.run(load(busy))
    print(f"\n{busy.rate:.0f} pages a second for {SECONDS} s\n\n{page_client.table(outcomes)}\n")
    for one in grown:
        print(f"{one.name}: {one.memory[0]:.0f} to {one.memory[1]:.0f} MiB, most {one.peak:.0f}")
    assert {one.status for one in outcomes} <= {200, 503}
    assert all(one.retry_after for one in outcomes if one.status == 503)
    assert all(one.added_memory < MAX_ADDED_MIB for one in grown if one.name.startswith("web"))


def test_a_burst_is_answered_or_refused(busy):
    outcomes = asyncio.run(burst(busy.live))
    counts = Counter(one.status for one in outcomes)
    last = max(one.seconds for one in outcomes)
    print(f"\na burst of {BURST}: {dict(counts)}, the last after {last:.1f} s")
    assert counts[200]
    assert set(counts) <= {200, 503}


def test_pages_open_while_somebody_sends_texts_made_to_keep_patterns_busy(busy):
    outcomes = asyncio.run(attacked(busy.live, busy.paths))
    print(f"\nbeside texts of {len(ATTACK):,} characters\n\n{page_client.table(outcomes)}\n")
    assert {one.status for one in outcomes} == {200}


async def attacked(live: Live, paths: list[str]) -> list[page_client.PageOutcome]:
    """Two pages a second, and each second one text for the patterns that look for secrets."""
    async with browser_of(live) as browser, client_of(live) as program:
        answer = await program.post("/v1/chat/completions", json=question_of(live, "Hello"))
        reply_id = answer.json()["id"]

        async def attack() -> None:
            while True:
                feedback = {"id": reply_id, "rating": "down", "comment": ATTACK[:9_000]}
                await program.post("/v1/feedback", json=feedback)
                await program.post("/v1/chat/completions", json=question_of(live, ATTACK))
                await asyncio.sleep(1)

        attacking = asyncio.create_task(attack())
        outcomes = await page_client.open_pages(browser, paths, rate=2, seconds=30)
        attacking.cancel()
        return outcomes


def question_of(live: Live, text: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    return {"model": live.model, "messages": messages, "max_tokens": 4}


async def load(busy: Busy) -> tuple[list[page_client.PageOutcome], list[Growth]]:
    """Outcomes of the pages, and the growth of each process."""
    live, paths = busy.live, busy.paths
    async with browser_of(live) as browser:
        await page_client.open_pages(browser, paths, rate=2, seconds=10)  # fills caches
        sampling = asyncio.create_task(sample_repeatedly(live))
        asking = asyncio.create_task(send_every_second(live, SECONDS))
        outcomes = await page_client.open_pages(browser, paths, rate=busy.rate, seconds=SECONDS)
        sampling.cancel()
        await asking
        return outcomes, growth_of_each(await sampling)


async def burst(live: Live) -> list[page_client.PageOutcome]:
    async with browser_of(live) as browser:
        return await asyncio.gather(
            *(page_client.open_page(browser, "/goals/1/dataset/") for _ in range(BURST))
        )


def browser_of(live: Live) -> httpx.AsyncClient:
    """A signed-in browser with as many connections as it needs."""
    with httpx.Client(base_url=live.installation.site, follow_redirects=True) as browser:
        send(browser, "/sign-in/", username=EMAIL, email=EMAIL, password=PASSWORD)
        return httpx.AsyncClient(
            base_url=live.installation.site,
            cookies=browser.cookies,
            timeout=page_client.TIMEOUT_SECONDS,
            limits=httpx.Limits(max_connections=None),
        )
