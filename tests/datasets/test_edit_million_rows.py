"""A million rows: every page of the table answers, all of them change and come back, and the
memory that takes does not grow with them. FINETUNE_ROWS makes it fewer."""

import os
import resource

import pytest

from benchmarks.table import change, fill, pages
from finetune_app.checks import services as checks
from finetune_app.datasets.models import Dataset, Edit
from finetune_app.datasets.status_counts import counts

ROWS = int(os.environ.get("FINETUNE_ROWS", "1000000"))
NOTHING = (
    "longer than any",
    "search: no row says it",
    "search: two letters that no row has",
    "search: one letter that no row has",
)
MOST = 300  # MB more than before


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_million_rows_are_edited_with_bounded_memory(transactional_db, monkeypatch):
    monkeypatch.setattr(checks, "MAX_ROWS_IN_REQUEST", checks.MAX_ROWS_IN_REQUEST)  # fill() sets it
    client, base, other = fill(ROWS)
    before = peak()
    for what, query in pages(ROWS, other).items():
        reply = client.get(base + query(3))
        assert reply.status_code == 200, what
        found = len(reply.context["rows"])
        assert (found == 0) == (what in NOTHING), what

    stood = counts(Dataset.objects.get())
    assert stood["all"] + stood["trash"] == ROWS
    change(client, base)
    aside, back = Edit.objects.order_by("pk")
    assert aside.changes.count() == back.changes.count() == stood["all"]
    assert (aside.left, back.left) == (0, 0)
    assert counts(Dataset.objects.get()) == stood
    assert peak() - before < MOST
