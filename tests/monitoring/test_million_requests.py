"""A month of a million requests: every range can be opened, and every request is counted.
FINETUNE_ROWS changes the number."""

import os

import pytest

from benchmarks.monitoring import run
from finetune_app.deployment.models import Deployment
from finetune_app.monitoring import timeseries
from finetune_app.request_log.models import Request

ROWS = int(os.environ.get("FINETUNE_ROWS", "1000000"))


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_a_million_requests(transactional_db):
    run(ROWS, repeats=3)
    month = timeseries.RANGES["month"]
    found = timeseries.timeseries_of(Deployment.objects.get(), month)
    assert found.total.usage.requests == Request.objects.filter(at__gte=found.points[0].at).count()
    assert found.total.usage.requests == sum(point.usage.requests for point in found.points)
    assert (
        found.total.stats.latency.total() == found.total.usage.requests - found.total.usage.failed
    )
