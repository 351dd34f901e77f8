from collections.abc import Iterator

import pytest

from tests.operations.drill.host import Host, empty_host


@pytest.fixture(scope="module")
def host(django_db_setup, django_db_blocker, tmp_path_factory) -> Iterator[Host]:
    """An empty installation of its own, on the kind of database that is tested."""
    with django_db_blocker.unblock(), empty_host(tmp_path_factory.mktemp("first") / "host") as made:
        yield made


@pytest.fixture
def another_host(django_db_setup, django_db_blocker, tmp_path) -> Iterator[Host]:
    with django_db_blocker.unblock(), empty_host(tmp_path / "host") as made:
        yield made
