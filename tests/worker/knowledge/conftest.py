"""Documents made by code, and an index of them made by the real embedder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.worker.imports.conftest import Recorder
from worker.channel import Job
from worker.knowledge.run import run
from worker.knowledge.search import Index

PUMP = """# The Aldermere pump

## Warranty

The Aldermere pump carries a warranty of 27 months from the day of delivery.

## Cleaning

Rinse the inlet filter every 30 days with warm water. Never use soap, since it clogs the mesh.
"""
SHOP = """# The shop on Kettle Lane

We open at half past eight from Tuesday to Saturday. On Mondays the shop is closed.

Parking is free for customers in the yard behind the house.
"""


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


class Shelf:
    """The folders of some documents, as the web lays them out."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.documents: list[dict[str, Any]] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.indexes = 0

    def add(self, name: str, content: str | bytes) -> Path:
        number = len(self.documents) + 1
        folder = self.root / "documents" / str(number)
        folder.mkdir(parents=True)
        data = content.encode() if isinstance(content, str) else content
        (folder / "upload").write_bytes(data)
        self.documents.append({"id": number, "name": name, "folder": str(folder)})
        return folder

    def read(self, questions: Any = (), channel: Recorder | None = None) -> dict[str, Any]:
        """One job."""
        self.indexes += 1
        channel = channel or Recorder()
        spec = {"documents": self.documents, "questions": [*questions]}
        try:
            return run(Job("index", self.folder, spec), channel)
        finally:
            self.events = channel.events

    @property
    def folder(self) -> Path:
        return self.root / f"index-{self.indexes}"

    def problem(self, name: str, content: str | bytes) -> str:
        """What is said of this document after reading it beside a good one."""
        self.add("good.md", PUMP)
        self.add(name, content)
        good, bad = self.read()["documents"]
        assert good["passages"]
        assert not good["problem"]
        assert Index(self.folder).about["documents"] == ([1] if bad["problem"] else [1, 2])
        return bad["problem"]


@pytest.fixture
def shelf(tmp_path) -> Shelf:
    return Shelf(tmp_path)


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Shelf:
    """Two documents, made searchable once for a whole file of stories."""
    shelf = Shelf(tmp_path_factory.mktemp("shop"))
    shelf.add("pump.md", PUMP)
    shelf.add("shop.md", SHOP)
    shelf.read()
    return shelf


@pytest.fixture
def index(shop) -> Index:
    return Index(shop.folder)


Ask = Callable[[str], list[str]]
