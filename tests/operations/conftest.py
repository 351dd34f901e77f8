import os
from collections.abc import Iterator

import pytest

from tests.database import template
from tests.operations.drill.host import Host, empty_host

TESTED = os.environ.get("DATABASE_URL", "")  # the PostgreSQL that is tested, or SQLite


@pytest.fixture(scope="module")
def host(django_db_setup, tmp_path_factory) -> Iterator[Host]:
    """An installation of its own without a row, on the kind of database that is tested."""
    with empty_host(tmp_path_factory.mktemp("first") / "host", TESTED, template()) as made:
        yield made


@pytest.fixture
def another_host(django_db_setup, tmp_path) -> Iterator[Host]:
    with empty_host(tmp_path / "host", TESTED) as made:
        yield made
