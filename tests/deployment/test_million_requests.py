"""A million requests a month: the live page answers in every range, and every request is counted.
FINETUNE_ROWS makes it fewer."""

import os

import pytest

from benchmarks.monitoring import run
from finetune_app.deployment.models import Deployment, Request
from finetune_app.deployment.monitoring import picture

ROWS = int(os.environ.get("FINETUNE_ROWS", "1000000"))


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_a_million_requests(transactional_db):
    run(ROWS, repeats=3)
    month = picture.RANGES["month"]
    found = picture.of(Deployment.objects.get(), month)
    assert found.whole.sum.requests == Request.objects.filter(at__gte=found.slots[0].at).count()
    assert found.whole.sum.requests == sum(slot.sum.requests for slot in found.slots)
    assert found.whole.pace.waited.total() == found.whole.sum.requests - found.whole.sum.failed
