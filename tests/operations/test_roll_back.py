"""Every migration can be taken back and applied again with data present."""

import pytest


@pytest.fixture
def in_use(host):
    host.manage("prepare", "--without-starter")
    host.script("seed")
    return host


def test_all_rows_survive_the_way_to_the_first_migrations_and_back(in_use):
    done = in_use.script("to_first_migrations")
    before, between, after = done["rows"]
    assert done["apps"] > 20
    assert "alerts.0002_standard_names" in done["back"]
    assert sorted(done["forward"]) == sorted(done["back"])
    # A table that is younger than the first migrations is empty after the way back.
    assert {name: before[name] for name in between} == between
    assert {name: after[name] for name in between} == between
    assert sum(between.values()) > 50
    used = in_use.script("use")
    assert set(used["pages"].values()) == {200}
    assert used["token"] == "a provider's token"
