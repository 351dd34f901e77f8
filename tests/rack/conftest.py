"""The rack of hosts, a person at its proxy, and the table of what happened."""

import csv
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.conftest import chromium  # noqa: F401
from tests.browser.person import Person
from tests.rack import hosts
from tests.rack.hosts import Rack
from tests.rack.journey import Live, Tell, walk
from tests.starter import WHY_NOT, is_there

COLOURS = ["red", "green", "blue", "plum", "sand", "rust", "teal", "mint"]
ROWS = 80


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            for mark in (pytest.mark.long, pytest.mark.browser, pytest.mark.timeout(5400)):
                item.add_marker(mark)


@pytest.fixture(scope="package")
def rack() -> Iterator[Rack]:
    if reason := hosts.why_not():
        pytest.skip(reason)
    if not is_there():
        pytest.skip(WHY_NOT)
    with hosts.started() as up:
        yield up


@pytest.fixture(scope="package")
def tell() -> Iterator[Tell]:
    """Prints each line at once, and all of them as a table at the end."""
    lines: list[str] = []

    def add(killed: str, meanwhile: str, happened: str) -> None:
        lines.append(f"| {killed} | {meanwhile} | {happened} |")
        print(f"\n{lines[-1]}", flush=True)

    yield add
    print("\n\n| killed | meanwhile | what happened |", "|---|---|---|", *lines, sep="\n")


@pytest.fixture(scope="package")
def live(rack: Rack, chromium, tell: Tell, tmp_path_factory) -> Live:  # noqa: F811
    """A model that answers the API, brought there while each host was killed in turn."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    mara = Person.arrives(context, rack.set_up_address())
    return walk(rack, mara, tell, examples(tmp_path_factory.mktemp("file")))


def examples(folder: Path) -> Path:
    """How two colours are mixed: short rows that a small model learns."""
    rng = random.Random(17)
    path = folder / "colours.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["prompt", "answer"])
        for number in range(ROWS):
            first, second = rng.sample(COLOURS, 2)
            rows.writerow([f"Mix {first} and {second}, order {number}.", f"{first}-{second}"])
    return path
