"""What the machine has, also when a container allows less."""

import pytest

from finetune_app.core.machine import container_memory, this_machine


@pytest.fixture
def group(tmp_path):
    def write(**files: str):
        for name, text in files.items():
            (tmp_path / name.replace("__", ".")).write_text(text)
        return tmp_path

    return write


def test_a_containers_limit_counts_and_file_pages_do_not(group):
    root = group(
        memory__max="4000\n", memory__current="3000\n", memory__stat="anon 9\ninactive_file 500\n"
    )
    assert container_memory(root) == (4000, 2500)


@pytest.mark.parametrize("most", ["max\n", str(2**63), "nonsense"])
def test_no_limit(group, most):
    root = group(memory__max=most, memory__current="3000\n", memory__stat="inactive_file 5\n")
    assert container_memory(root) == (0, 0)


def test_no_group_at_all(tmp_path):
    assert container_memory(tmp_path) == (0, 0)


def test_the_older_kind_of_group(tmp_path):
    folder = tmp_path / "memory"
    folder.mkdir()
    (folder / "memory.limit_in_bytes").write_text("4000\n")
    (folder / "memory.usage_in_bytes").write_text("1000\n")
    (folder / "memory.stat").write_text("total_inactive_file 1500\n")
    assert container_memory(tmp_path) == (4000, 0)


def test_this_machine_is_believable(tmp_path):
    found = this_machine(tmp_path)
    assert found.cores >= 1
    assert 0 <= found.free_bytes <= found.memory_bytes
    assert found.disk_free_bytes > 0
    assert "GB of memory" in found.words
