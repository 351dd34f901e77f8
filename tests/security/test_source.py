"""What no line of the program may do, read from its source.

The attacks are elsewhere; this keeps the next line that somebody writes from opening the door.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(
    path
    for folder in ("finetune_app", "worker")
    for path in (ROOT / folder).rglob("*.py")
    if "migrations" not in path.parts
)
RUNS_TEXT = {"eval", "exec", "__import__"}
UNPACKS_PROGRAMS = {
    "pickle",
    "cPickle",
    "_pickle",
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
    "marshal",
}
UNSAFE = {
    "os.system",
    "os.popen",
    "torch.load",
    "yaml.load",
    "yaml.unsafe_load",
    "tempfile.mktemp",
    "subprocess.getoutput",
    "subprocess.getstatusoutput",
}


def dotted(node: ast.AST) -> str:
    """The name that is called, as far as it is one: "os.system", "….from_pretrained"."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "…"


def said(call: ast.Call, name: str) -> str:
    return next((ast.unparse(k.value) for k in call.keywords if k.arg == name), "")


def wrong(source: str) -> Iterator[str]:
    nodes = list(ast.walk(ast.parse(source)))
    for call in (node for node in nodes if isinstance(node, ast.Call)):
        name = dotted(call.func)
        if name in RUNS_TEXT | UNSAFE:
            yield f"{name}()"
        if said(call, "shell") not in ("", "False"):
            yield f"{name}(shell=True)"
        if said(call, "allow_pickle") not in ("", "False"):
            yield f"{name}(allow_pickle=True)"
        brings_code = name.endswith(".from_pretrained") and not name.startswith("Peft")
        if brings_code and said(call, "trust_remote_code") != "False":
            yield f"{name}() does not say trust_remote_code=False"
        if name.endswith("extractall") and said(call, "filter") != "'data'":
            yield f"{name}() without filter='data'"
        if said(call, "verify") == "False":
            yield f"{name}(verify=False)"
    for node in nodes:
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        yield from (f"import {n}" for n in names if n.split(".")[0] in UNPACKS_PROGRAMS)


def test_no_line_runs_what_it_was_given():
    """Shell commands made of names (CVE-2024-52803), unpickling (CVE-2025-53002), trust in a
    model's own code (CVE-2026-58116), archives unpacked as they wish, unchecked certificates."""
    assert len(FILES) > 200
    found = {str(path.relative_to(ROOT)): list(wrong(path.read_text())) for path in FILES}
    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "line",
    [
        "eval(x)",
        "subprocess.run(x, shell=True)",
        "torch.load(x)",
        "import pickle",
        "AutoModel.from_pretrained(x)",
        "AutoModel.from_pretrained(x, trust_remote_code=yes)",
        "archive.extractall(x)",
        "httpx.Client(verify=False)",
        "np.load(x, allow_pickle=True)",
    ],
)
def test_such_a_line_would_be_found(line):
    assert list(wrong(line))
