import pytest

from finetune_app.core.openvino_installation import openvino_version


@pytest.fixture(autouse=True)
def _needs_openvino():
    if not openvino_version():
        pytest.skip("OpenVINO is not installed: .venv/bin/pip install '.[openvino]'")
