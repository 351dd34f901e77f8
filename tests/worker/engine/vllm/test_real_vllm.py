"""The same against vLLM itself with the starter model, if it is installed:

    VLLM=/opt/vllm/bin/vllm pytest tests/worker/engine/vllm/test_real_vllm.py

A CPU build of vLLM (with VLLM_CPU_KVCACHE_SPACE=1) needs no graphics card. --enforce-eager skips
compilation, which takes minutes.
"""

import json
import shlex

import psutil
import pytest

from finetune_app.core.vllm_installation import find_vllm
from tests.starter import FOLDER as STARTER
from tests.starter import needs_starter
from tests.worker.engine.adapter_files import modified_adapter, zero_lora_b
from tests.worker.engine.tiny_models import make_adapter
from tests.worker.engine.vllm.vllm_requests import answer, ask, is_up, wait_until
from worker.engine.adapter_check import AdapterHasNoEffect
from worker.engine.adapters import BadAdapter
from worker.engine.engine import Engine
from worker.engine.requests import EngineFailed
from worker.engine.vllm.adapter_check import PeftReferences
from worker.engine.vllm.engine import VllmEngine

PROGRAM = find_vllm().program
OPTIONS = shlex.split("--enforce-eager --max-model-len 1024 --max-num-seqs 8")
SCHEMA = {
    "type": "object",
    "properties": {"label": {"enum": ["refund", "repair"]}},
    "required": ["label"],
    "additionalProperties": False,
}

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(PROGRAM is None, reason="there is no vLLM here: set VLLM to its program"),
    needs_starter,
]


@pytest.fixture(scope="module")
def adapters(tmp_path_factory):
    """Two that change much without turning answers into noise."""
    return [
        make_adapter(STARTER, tmp_path_factory.mktemp(f"real{seed}"), seed, lora_alpha=1)
        for seed in (1, 2)
    ]


@pytest.fixture(scope="module")
def engine():
    with Engine(STARTER, "fp32") as engine:
        yield engine


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    assert PROGRAM
    log = tmp_path_factory.mktemp("real") / "vllm.log"
    with VllmEngine(
        STARTER,
        "fp32",
        program=PROGRAM,
        options=[*find_vllm().options, *OPTIONS],
        log_file=log,
        references=PeftReferences(),
    ) as engine:
        yield engine
    assert not [one for one in psutil.process_iter(["cmdline"]) if str(log) in str(one.info)]


def test_answers_equal_those_of_our_own_engine(served, engine, adapters):
    asked = [ask(folder, max_new_tokens=16) for folder in (None, *adapters)]
    served.prepare(asked)
    handles = [served.submit(request) for request in asked]
    theirs, ours = [handle.result() for handle in handles], engine.generate(asked)
    for one, other in zip(theirs, ours, strict=True):
        print(repr(one.text), repr(other.text))
    assert [one.token_ids for one in theirs] == [one.token_ids for one in ours]
    assert [one.finish_reason for one in theirs] == [one.finish_reason for one in ours]
    assert len({one.text for one in theirs}) == 3


def test_logprobs_penalties_and_stop_strings_match_our_engine(served, engine, adapters):
    options = {"top_logprobs": 3, "frequency_penalty": 0.5, "max_new_tokens": 16}
    asked = ask(adapters[0], **options)
    theirs, ours = answer(served, asked), engine.generate([asked])[0]
    assert theirs.token_ids == ours.token_ids
    for one, other in zip(theirs.logprobs, ours.logprobs, strict=True):
        assert one["bytes"] == other["bytes"]
        assert one["logprob"] == pytest.approx(other["logprob"], abs=0.01)
    cut = ask(None, stop=(" ",), max_new_tokens=16)
    assert answer(served, cut).text == engine.generate([cut])[0].text


def test_a_schema_is_followed(served, engine):
    asked = ask(schema=json.dumps(SCHEMA), max_new_tokens=60)
    served.prepare([asked])
    theirs = answer(served, asked)
    assert json.loads(theirs.text)["label"] in {"refund", "repair"}
    assert theirs.token_ids == engine.generate([asked])[0].token_ids


def test_adapters_are_checked(served, adapters, tmp_path):
    served.check_adapter(adapters[1])
    with pytest.raises(AdapterHasNoEffect):
        served.check_adapter(modified_adapter(adapters[0], tmp_path / "zero", zero_lora_b))
    half = modified_adapter(
        adapters[0], tmp_path / "half", lambda name, t: None if name.endswith("A.weight") else t
    )
    with pytest.raises(BadAdapter, match="damaged"):
        served.check_adapter(half)
    assert is_up(served)


def test_cancelling_ends_vllms_work(served):
    handle = served.submit(ask(None, max_new_tokens=900))
    next(iter(handle))
    handle.cancel()
    assert answer(served, ask(None, max_new_tokens=4)).tokens == 4


def test_vllm_restarts_after_sigkill_and_leaves_no_process(served, adapters):
    guard = psutil.Process(served._process._process.pid)
    descendants = guard.children(recursive=True)
    handle = served.submit(ask(adapters[0], max_new_tokens=900))
    next(iter(handle))
    guard.children()[0].kill()
    with pytest.raises(EngineFailed):
        handle.result()
    psutil.wait_procs(descendants, timeout=30)
    assert not any(one.is_running() for one in descendants)
    wait_until(lambda: is_up(served), seconds=1800)
    assert answer(served, ask(adapters[0], require_effect=True, max_new_tokens=4)).tokens == 4
