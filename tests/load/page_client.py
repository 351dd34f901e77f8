"""A signed-in visitor who opens pages at a fixed rate, independent of earlier answers."""

import asyncio
import json
import statistics
import time
from collections import Counter
from dataclasses import dataclass

import httpx

from benchmarks.large_goal import Size
from tests.installation import Installation

TIMEOUT_SECONDS = 60.0

# What people open, in the order they are asked for.
PAGES = (
    "guide:home",
    "goals:page",
    "datasets:page",
    "datasets:example",
    "checks:health",
    "versions:list",
    "versions:detail",
    "basemodels:page",
    "imports:add",
    "training:detail",
    "candidates:workbench",
    "candidates:chat",
    "model_export:page",
    "evaluation:detail",
    "deployment:page",
    "monitoring:page",
    "request_log:page",
    "alerts:page",
    "api_keys:page",
    "accounts:team",
)

# Makes a second goal that has been through all steps, grows it, and prints the addresses of its
# pages.
FILL = f"""
import json
from allauth.mfa.models import Authenticator
from django.urls import reverse
from benchmarks.large_goal import Size, grow
from finetune_app.accounts.models import Team, User
from tests.factories import build_world
from tests.routes import DECLARED, ids_of
world = build_world(Team.objects.get(), User.objects.get(is_active=True))
Authenticator.objects.all().delete()  # so that a password is enough to sign in
grow(world.goal, {{size}})
routes = dict((route.name, route) for route in DECLARED)
print(json.dumps([reverse(n, kwargs=ids_of(routes[n], world)) for n in {PAGES!r}]))
"""


@dataclass(frozen=True)
class PageOutcome:
    """`status`: HTTP status, 0 for a broken connection."""

    path: str
    status: int
    seconds: float
    retry_after: str = ""


def fill(installation: Installation, size: Size) -> list[str]:
    """The paths of PAGES in an installation with one team."""
    script = FILL.format(size=size)
    return json.loads(installation.manage("shell", "-v0", "-c", script).splitlines()[-1])


async def open_pages(
    browser: httpx.AsyncClient, paths: list[str], *, rate: float, seconds: float
) -> list[PageOutcome]:
    """Open the pages in turn, `rate` each second."""
    started_at = time.monotonic()
    tasks = []
    for n in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, started_at + n / rate - time.monotonic()))
        tasks.append(asyncio.create_task(open_page(browser, paths[n % len(paths)])))
    return list(await asyncio.gather(*tasks))


async def open_page(browser: httpx.AsyncClient, path: str) -> PageOutcome:
    started_at, status, retry_after = time.monotonic(), 0, ""
    try:
        response = await browser.get(path)
        status, retry_after = response.status_code, response.headers.get("retry-after", "")
    except httpx.HTTPError:
        pass
    return PageOutcome(path, status, time.monotonic() - started_at, retry_after)


def table(outcomes: list[PageOutcome]) -> str:
    """Statuses and percentiles in Markdown, then the slowest pages."""
    counts = sorted(Counter(one.status for one in outcomes).items())
    answered = [one.seconds for one in outcomes if one.status == 200]
    cuts = [1000 * seconds for seconds in statistics.quantiles(answered, n=100)]
    numbers = f"{cuts[49]:.0f} | {cuts[94]:.0f} | {cuts[98]:.0f} | {1000 * max(answered):.0f}"
    lines = [
        "| answers | p50 ms | p95 ms | p99 ms | most ms |",
        "|---|---|---|---|---|",
        f"| {', '.join(f'{count} x {status}' for status, count in counts)} | {numbers} |",
        "",
        "| page | p50 ms | p95 ms |",
        "|---|---|---|",
    ]
    for path in dict.fromkeys(one.path for one in outcomes):
        of_page = [one.seconds for one in outcomes if one.path == path and one.status == 200]
        if len(of_page) > 1:
            cuts = statistics.quantiles(of_page, n=100)
            lines.append(f"| {path} | {cuts[49] * 1000:.0f} | {cuts[94] * 1000:.0f} |")
    return "\n".join(lines)
