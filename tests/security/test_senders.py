"""Who may send a large body is asked before anything else is checked."""

import asyncio

import pytest

from finetune_app.api_keys import senders


@pytest.mark.parametrize(
    "header",
    [
        (b"authorization", b"Bearer ft-0a1b2c3d-\x00"),
        (b"cookie", b"sessionid=abc\x00def"),
        (b"cookie", b'sessionid="abc\\000def"'),
    ],
)
def test_a_nul_is_not_looked_up(header, monkeypatch):
    """PostgreSQL refuses it, which would be an internal error."""

    def look_up(key: str, session: str) -> bool:
        raise AssertionError(f"looked up {key!r}, {session!r}")

    monkeypatch.setattr(senders, "_is_known", look_up)
    assert asyncio.run(senders.is_known_sender({"headers": [header]})) is False
