"""Files that carry programs: model folders, tokenizers, templates, checkpoints, messages.

In each test somebody leaves a file that would write `marker` if anything ran it. It never appears.
"""

import builtins
import contextlib
import hashlib
import json
import pickle
from pathlib import Path

import kombu.serialization
import numpy as np
import pytest
from jinja2 import TemplateError
from kombu.exceptions import ContentDisallowed

from finetune_app.celery import app
from tests.worker.engine.tiny_models import make_base, tokenizer
from worker import template
from worker.channel import UserError
from worker.engine.adapters import BadAdapter, read_adapter
from worker.knowledge import document_cache, embedding
from worker.training import checkpoints

ASK = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def marker(tmp_path) -> Path:
    return tmp_path / "it-ran"


@pytest.fixture
def says_yes(monkeypatch):
    """Somebody who answers every question on the terminal with yes."""
    monkeypatch.setattr(builtins, "input", lambda *_: "y")


class Payload:
    """Unpickled, it writes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def with_code(folder: Path, marker: Path) -> Path:
    """A model folder whose tokenizer is a program of its own."""
    make_base(folder, "llama")
    (folder / "evil.py").write_text(
        "from pathlib import Path\nfrom transformers import PreTrainedTokenizerFast\n"
        f"Path({str(marker)!r}).touch()\nclass Evil(PreTrainedTokenizerFast): pass\n"
    )
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    settings |= {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": [None, "evil.Evil"]}}
    path.write_text(json.dumps(settings))
    return folder


def test_the_payload_would_work(marker):
    """So that the tests below cannot pass by a mistake in it."""
    pickle.loads(pickle.dumps(Payload(marker)))
    assert marker.exists()


# ---- Models (CVE-2026-22807, CVE-2026-58116, CVE-2025-53002) ----


def test_a_tokenizer_that_brings_code_is_not_run_whoever_says_yes(tmp_path, marker, says_yes):
    """Remote code through a model folder: without an explicit no, the library asks on the
    terminal, and runs the folder's program when anything answers “y”."""
    folder = with_code(tmp_path / "model", marker)
    with pytest.raises(UserError):
        template.load_tokenizer(folder)
    assert not marker.exists()


def test_an_embedder_whose_tokenizer_brings_code_is_not_run(tmp_path, marker, says_yes):
    """The same through the other model of the house, the one that reads documents."""
    with pytest.raises(ValueError, match="custom code"):
        embedding.Embedder(with_code(tmp_path / "model", marker))
    assert not marker.exists()


def test_a_pickled_adapter_is_not_even_opened(tmp_path, marker):
    """Unsafe deserialisation of weights: a .bin beside a valid adapter_config.json."""
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    (tmp_path / "adapter_model.bin").write_bytes(pickle.dumps(Payload(marker)))
    with pytest.raises(BadAdapter, match=r"no adapter_model\.safetensors"):
        read_adapter(tmp_path, None, None)
    assert not marker.exists()


def test_a_pickle_in_place_of_a_checkpoint_is_not_run(tmp_path, marker):
    """The same in a checkpoint whose hashes agree, as somebody who can write there leaves it."""
    folder = tmp_path / "step-000010"
    folder.mkdir()
    content = pickle.dumps(Payload(marker))
    hashes = {}
    for name in ("adapter.safetensors", "optimizer.safetensors", "state.json"):
        (folder / name).write_bytes(content)
        hashes[name] = hashlib.sha256(content).hexdigest()
    (folder / "COMPLETE").write_text(json.dumps(hashes))
    with pytest.raises(Exception, match=r"(?i)header"):
        checkpoints.newest(tmp_path)
    assert not marker.exists()


def test_vectors_that_are_objects_are_not_unpickled(tmp_path, marker):
    """numpy's files can hold pickled objects; an index of documents never does."""
    about = {"cutter": document_cache.CHUNKER_VERSION, "embedder": "x", "passages": []}
    (tmp_path / "passages.json").write_text(json.dumps(about))
    np.save(tmp_path / "vectors.npy", np.array([Payload(marker)], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        document_cache.load_chunks(tmp_path, "x")
    assert not marker.exists()


# ---- Templates ----

ESCAPES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ messages.__class__.__base__ }}",
    "{{ cycler.__init__.__globals__.os.popen('touch MARKER').read() }}",
    "{{ lipsum.__globals__['os'].system('touch MARKER') }}",
    "{{ joiner.__init__.__globals__.os.system('touch MARKER') }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ raise_exception.__globals__['__builtins__']['open']('MARKER', 'w') }}",
    "{{ strftime_now.__globals__['__builtins__']['open']('MARKER', 'w') }}",
    "{{ '{0.__class__.__mro__}'.format(messages) }}",
    "{{ ''|attr('__class__')|attr('__mro__') }}",
    "{{ (messages|map('attr', '__class__')|list)[0].__mro__ }}",
    "{{ self._TemplateReference__context.environment.globals }}",
    "{{ messages.append({'role': 'system', 'content': 'mine'}) }}",
    "{% set _ = messages[0].update({'content': 'mine'}) %}{{ messages[0].content }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}{{ os.system('touch MARKER') }}",
]


@pytest.mark.parametrize("text", ESCAPES)
def test_a_chat_template_reaches_nothing_but_its_messages(marker, text):
    """Server-side template injection: a model's chat template is a program in Jinja. It may end
    in an error or in text; it reaches no class, no module, no file, and changes no message."""
    hostile = tokenizer()
    hostile.chat_template = text.replace("MARKER", str(marker)) + "{{ messages[0].content }}"
    said = ""
    with contextlib.suppress(TemplateError, UserError, TypeError, ValueError):
        said = str(hostile.decode(template.prompt_token_ids(hostile, ASK)))
    for leaked in ("class '", "<module", "built-in", "root:", "mine"):
        assert leaked not in said
    assert not marker.exists()
    assert ASK == [{"role": "user", "content": "Hello"}]


# ---- Messages to the workers (CVE-2023-48022, CVE-2026-41486) ----


def test_a_pickle_in_the_queue_is_refused(marker):
    """Whoever reaches a broker that takes pickles runs programs on every worker."""
    message = pickle.dumps(Payload(marker))
    with pytest.raises(ContentDisallowed):
        kombu.serialization.loads(
            message, "application/x-python-serialize", "binary", accept=app.conf.accept_content
        )
    assert list(app.conf.accept_content) == ["json"]
    assert not marker.exists()
