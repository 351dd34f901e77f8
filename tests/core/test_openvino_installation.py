"""Where weights in 8 bits are worth choosing: OpenVINO, and a processor with VNNI."""

import pytest

from finetune_app.core import openvino_installation
from finetune_app.core.openvino_installation import has_vnni, is_quick_in_8_bits


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("fpu avx512_vnni amx_tile", True), ("fpu avx_vnni", True), ("fpu avx2 avx512f", False)],
)
def test_the_processor_says_whether_it_multiplies_8_bits(flags, expected, tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nmodel name\t: Some avx_vnni CPU\nflags\t\t: {flags}\n")
    assert has_vnni(cpuinfo) is expected


def test_another_system_does_not_say_it(tmp_path):
    assert not has_vnni(tmp_path / "missing")


def test_it_takes_openvino_too(monkeypatch):
    monkeypatch.setattr(openvino_installation, "has_vnni", lambda: True)
    monkeypatch.setattr(openvino_installation, "openvino_version", lambda: "2026.4.1")
    monkeypatch.delenv("OPENVINO", raising=False)
    assert is_quick_in_8_bits()
    monkeypatch.setenv("OPENVINO", "off")
    assert not is_quick_in_8_bits()
