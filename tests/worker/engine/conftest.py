import pytest

from finetune_app.core.openvino_installation import openvino_version
from tests.worker.engine.tiny_models import make_adapter, make_base
from worker.engine.engine import Engine


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("llama"), "llama")


@pytest.fixture(scope="session")
def adapters(base, tmp_path_factory):
    return [make_adapter(base, tmp_path_factory.mktemp(f"a{seed}"), seed) for seed in (1, 2)]


@pytest.fixture(params=["openvino", "torch"])
def computed_by(request, monkeypatch):
    """The layers of Llama-like models are computed by OpenVINO, and by our own forward pass."""
    if request.param == "torch":
        monkeypatch.setenv("OPENVINO", "off")
    elif not openvino_version():
        pytest.skip("OpenVINO is not installed: .venv/bin/pip install '.[openvino]'")
    return request.param


@pytest.fixture(scope="session")
def engine(base):
    with Engine(base, "fp32") as engine:
        yield engine
