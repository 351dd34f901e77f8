"""The journey once more where there is nothing but this computer: a network of loopback alone."""

import os
import shutil
import subprocess
import sys

import pytest
from django.conf import settings

ALONE = "ip link set lo up && exec {python} -m pytest -q -s -p no:cacheprovider {journey}"
JOURNEY = "tests/browser/test_journey.py"


def can_be_alone() -> bool:
    if not (shutil.which("unshare") and shutil.which("ip")):
        return False
    tried = ["unshare", "-n", "ip", "link", "set", "lo", "up"]
    return subprocess.run(tried, capture_output=True).returncode == 0


@pytest.mark.long
@pytest.mark.timeout(3000)
@pytest.mark.skipif(not can_be_alone(), reason="a network namespace cannot be made here")
def test_the_journey_without_any_network():
    given = {name: value for name, value in os.environ.items() if name != "DATA_DIR"}
    command = ALONE.format(python=sys.executable, journey=JOURNEY)
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", command],
        cwd=settings.BASE_DIR,
        env=given,
        capture_output=True,
        text=True,
    )
    print(done.stdout[-3000:])
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "1 passed" in done.stdout
