from collections.abc import Iterator

import pytest

from tests.operations.drill.host import Host, empty_host


@pytest.fixture
def host(transactional_db, tmp_path) -> Iterator[Host]:
    """An empty installation of its own, on the kind of database that is tested."""
    with empty_host(tmp_path / "host") as made:
        yield made
