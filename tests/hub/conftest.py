"""A hub on loopback; complaints about a broken protocol fail the test."""

from collections.abc import Iterator

import pytest

from tests.hub.stub_hub import StubHub


@pytest.fixture
def hub(monkeypatch) -> Iterator[StubHub]:
    with StubHub() as made:
        monkeypatch.setenv("HF_ENDPOINT", made.address)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield made
    assert made.complaints == []
