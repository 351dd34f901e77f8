"""Generated documents, and an index of them made with the real embedder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from finetune_app.knowledge.schemas import DocumentSpec, IndexResult, PracticeQuestion
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


class DocumentStore:
    """Folders of documents, as the web application creates them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.documents: list[DocumentSpec] = []
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

    def build_index(
        self, questions: Sequence[PracticeQuestion] = (), channel: Recorder | None = None
    ) -> IndexResult:
        self.indexes += 1
        channel = channel or Recorder()
        spec = {"documents": self.documents, "questions": [*questions]}
        try:
            return run(Job("index", self.index_folder, spec), channel)
        finally:
            self.events = channel.events

    @property
    def index_folder(self) -> Path:
        return self.root / f"index-{self.indexes}"

    def problem(self, name: str, content: str | bytes) -> str:
        """The problem of this document, indexed beside a good one."""
        self.add("good.md", PUMP)
        self.add(name, content)
        good, bad = self.build_index()["documents"]
        assert good["passages"]
        assert not good["problem"]
        assert Index(self.index_folder).manifest["documents"] == ([1] if bad["problem"] else [1, 2])
        return bad["problem"]


@pytest.fixture
def store(tmp_path) -> DocumentStore:
    return DocumentStore(tmp_path)


@pytest.fixture(scope="module")
def indexed(tmp_path_factory) -> DocumentStore:
    """Two documents, indexed once per module."""
    store = DocumentStore(tmp_path_factory.mktemp("indexed"))
    store.add("pump.md", PUMP)
    store.add("shop.md", SHOP)
    store.build_index()
    return store


@pytest.fixture
def index(indexed) -> Index:
    return Index(indexed.index_folder)
