"""Tested = served: is every served and exported format what the evaluation saw?

    python -m benchmarks.parity --model FOLDER [--adapter FOLDER] [--write FILE] [--keep FOLDER]

The sample goal's 100 practice and test emails are answered by the tuned starter, greedily, in
every form in which it can be used or taken away. The reference is the engine in fp32, one email at
a time, the adapter over its base. In fp32 every answer must be the same to the token. In the
rounded forms (bf16, int8, GGUF) right or wrong must be the same for at least 98 of 100; each that
differs is listed. GGUF files are read twice: by transformers, and by llama.cpp where it is here
(`python -m benchmarks.llama_cpp` fetches it), which is given no more than the file.
Without --adapter one is trained first, with the app's own settings. Exits with 1 where it fails.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import llama_cpp
from benchmarks.methods import SEED, RecordingChannel
from finetune_app.goals.measures import get_measure
from finetune_app.guide.sample.mailbox import sample
from worker.channel import Job
from worker.engine.engine import Engine
from worker.engine.requests import Completion, GenerationRequest
from worker.template import load_tokenizer, prompt_token_ids

LEAST_EQUAL = 98  # of 100, right or wrong, in a rounded form
TOKENS = 64  # of an answer, at most; right ones have about 15


@dataclass(frozen=True)
class Email:
    """A prompt of the sample goal, and the expected answer."""

    messages: list[dict[str, str]]
    wanted: str


@dataclass
class Variant:
    """One form of the model and its answers. `exact`: each token has to equal the reference."""

    name: str
    exact: bool
    answers: list[Completion]
    right: list[bool]


def emails() -> list[Email]:
    held_out = [row for row in sample().rows if row["split"] != "train"]
    return [Email(row["messages"][:-1], row["messages"][-1]["content"]) for row in held_out]


def train(model: Path, folder: Path) -> Path:
    """The sample adapter, by the app's own loop and settings; returns its folder."""
    from worker.training.loop import run

    version = folder / "version.jsonl"
    with version.open("w") as file:
        for number, row in enumerate(sample().rows):
            file.write(json.dumps({"id": number, "source": "", **row}) + "\n")
    spec = {
        "base_model": str(model),
        "version": str(version),
        "seed": SEED,
        "sample_prompts": 0,
        "measure": {"kind": sample().measure, "settings": sample().measure_settings},
    }
    found = run(Job("training", folder / "run", spec), RecordingChannel())
    print(f"trained: {found['steps']} steps in {found['seconds']:.0f} s", flush=True)
    return folder / "run" / "adapter"


def exported(
    model: Path,
    adapter: Path | None,
    container: str,
    number_format: str,
    to: Path,
    *,
    in_4bit: bool = False,
) -> Path:
    """Made as the app makes it, its check included, and unpacked; returns the folder of the
    merged model, or the GGUF file."""
    import zipfile

    from worker.model_export.run import run

    spec = {
        "base_model": str(model),
        "adapter": str(adapter) if adapter else None,
        "in_4bit": in_4bit,
        "thinking": "no",
        "container": container,
        "number_format": number_format,
        "max_new_tokens": 24,
        "name": "sample",
        "prompts": [one.messages for one in emails()[:12]],
        "about": {
            "title": "Sample",
            "goal": "Sample",
            "base": model.name,
            "licence": "",
        },
        "card": {"start": "# Sample", "facts": ""},
    }
    found = run(Job("export", to / "export", spec), RecordingChannel())
    print(container, number_format, json.dumps(found["parity"]), flush=True)
    with zipfile.ZipFile(to / "export" / found["file"]) as packed:
        packed.extractall(to)
    return (
        to / "sample" / "model" if container == "merged" else next((to / "sample").glob("*.gguf"))
    )


def converted(gguf: Path, folder: Path) -> Path:
    """As transformers reads it, for the engine."""
    from worker.installs.starter import convert

    folder.mkdir()
    convert(gguf, folder)
    return folder


def variants(model: Path, adapter: Path) -> Iterator[tuple[str, bool, list[Completion]]]:
    """(name, must agree to the token, answers), the reference first."""
    batch = requests(adapter)
    with Engine(model, "fp32", may_merge=False) as engine:
        yield (
            "base + adapter, fp32, one at a time",
            True,
            [engine.generate([one])[0] for one in batch],
        )
        yield "base + adapter, fp32, in one batch", True, engine.generate(batch)
    for number_format in ("bf16", "int8"):
        with Engine(model, number_format, may_merge=False) as engine:
            yield f"base + adapter, {number_format}, in one batch", False, engine.generate(batch)
    yield from while_serving(model, batch, ("fp32", "bf16", "int8"))
    os.environ["OPENVINO"] = "off"
    for name, exact, answers in while_serving(model, batch, ("fp32", "bf16")):
        yield f"{name}, without OpenVINO", exact, answers
    del os.environ["OPENVINO"]
    for container, number_format, exact in (
        ("merged", "fp32", True),
        ("merged", "bf16", False),
        ("gguf", "f16", False),
        ("gguf", "q8_0", False),
    ):
        with tempfile.TemporaryDirectory() as scratch:
            made = exported(model, adapter, container, number_format, Path(scratch))
            if container == "gguf" and llama_cpp.is_there():
                yield f"gguf, {number_format}, in llama.cpp", exact, in_llama_cpp(model, made)
            folder = converted(made, Path(scratch) / "read") if container == "gguf" else made
            computed = "bf16" if number_format == "bf16" else "fp32"
            with Engine(folder, computed) as engine:
                yield f"{container}, {number_format}", exact, engine.generate(requests(None))


def while_serving(
    model: Path, batch: list[GenerationRequest], number_formats: Sequence[str]
) -> Iterator[tuple[str, bool, list[Completion]]]:
    """As `variants`: the adapter is a part of a copy of the weights."""
    for number_format in number_formats:
        with Engine(model, number_format) as engine:
            for one in batch:
                engine.generate([one])
            assert engine.merged_adapter, "the engine did not merge it; its log says why"
            exact = number_format == "fp32"
            yield f"merged while serving, {number_format}", exact, engine.generate(batch)


def in_llama_cpp(model: Path, gguf: Path) -> list[Completion]:
    tokenizer = load_tokenizer(model)
    read, text = llama_cpp.answers(gguf, [one.messages for one in emails()], TOKENS)
    same = sum(
        ids == prompt_token_ids(tokenizer, one.messages)
        for ids, one in zip(read, emails(), strict=True)
    )
    print(f"llama.cpp reads {same} of {len(read)} prompts as the same tokens", flush=True)
    return text


def requests(adapter: Path | None) -> list[GenerationRequest]:
    return [GenerationRequest(one.messages, adapter, max_new_tokens=TOKENS) for one in emails()]


def scored(name: str, exact: bool, answers: list[Completion]) -> Variant:
    measure = get_measure(sample().measure, sample().measure_settings)
    right = [
        measure.check(answer.text, one.wanted).passed
        for answer, one in zip(answers, emails(), strict=True)
    ]
    return Variant(name, exact, answers, right)


def same_tokens(one: Variant, reference: Variant) -> int:
    pairs = zip(one.answers, reference.answers, strict=True)
    return sum(ours.token_ids == theirs.token_ids for ours, theirs in pairs)


def same_verdicts(one: Variant, reference: Variant) -> int:
    return sum(ours == theirs for ours, theirs in zip(one.right, reference.right, strict=True))


def holds(one: Variant, reference: Variant) -> bool:
    count = len(reference.answers)
    if one.exact:
        return same_tokens(one, reference) == count
    return same_verdicts(one, reference) * 100 >= LEAST_EQUAL * count


def table(found: list[Variant]) -> str:
    reference, count = found[0], len(found[0].answers)
    lines = [
        "| form | right | same answer, to the token | same verdict | holds |",
        "|---|---|---|---|---|",
    ]
    for variant in found:
        lines.append(
            f"| {variant.name} | {sum(variant.right)} of {count} "
            f"| {same_tokens(variant, reference)} | {same_verdicts(variant, reference)} "
            f"| {'yes' if holds(variant, reference) else '**no**'} |"
        )
    return "\n".join([*lines, "", *differences(found)])


def differences(found: list[Variant]) -> list[str]:
    """Every answer whose verdict another form changed."""
    lines = ["Every answer that another form turned from right to wrong or back:", ""]
    for variant in found[1:]:
        for number, (right, reference_right) in enumerate(
            zip(variant.right, found[0].right, strict=True)
        ):
            if right != reference_right:
                text, reference_text = (one.answers[number].text for one in (variant, found[0]))
                lines.append(
                    f"- {variant.name}, email {number + 1}: “{_line(reference_text)}” "
                    f"({_word(reference_right)}) became “{_line(text)}” ({_word(right)})"
                )
    return lines if len(lines) > 2 else ["No form changed a verdict."]


def _line(text: str) -> str:
    return " / ".join(text.strip().splitlines())


def _word(right: bool) -> str:
    return "right" if right else "wrong"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="the starter model's folder")
    parser.add_argument("--adapter", type=Path, help="a tuned adapter of it; else one is trained")
    parser.add_argument("--keep", type=Path, help="keep the trained adapter in this folder")
    parser.add_argument("--write", type=Path, help="write the table to this file")
    given = parser.parse_args()
    model = given.model.resolve()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        adapter = given.adapter or train(model, folder)
        found: list[Variant] = []
        started: float = time.monotonic()
        for name, exact, answers in variants(model, adapter.resolve()):
            found.append(scored(name, exact, answers))
            taken, started = time.monotonic() - started, time.monotonic()
            print(
                f"{name}: {sum(found[-1].right)} right, "
                f"{same_tokens(found[-1], found[0])} the same ({taken:.0f} s)",
                flush=True,
            )
    text = table(found)
    print("\n" + text)
    if given.write:
        given.write.write_text(text + "\n")
    return 0 if all(holds(variant, found[0]) for variant in found) else 1


if __name__ == "__main__":
    sys.exit(main())
