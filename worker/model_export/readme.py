"""What stands in the README of an export: what it is, how to run it, how it was checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MERGED = """\
A model of its own: {base} with what it learned added to its weights ({format}). It runs wherever
transformers runs, and in programs that read its folders:

    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained("model", dtype="auto")
    tokenizer = AutoTokenizer.from_pretrained("model")
    asked = tokenizer.apply_chat_template(
        [{{"role": "user", "content": "..."}}],
        add_generation_prompt=True, return_tensors="pt", return_dict=True,
    )
    print(tokenizer.decode(model.generate(**asked, max_new_tokens=200)[0]))
"""
GGUF = """\
One file for llama.cpp, LM Studio and other programs that read GGUF ({format}): {base} with what
it learned added to its weights.

    llama-server -m {file} --jinja --temp 0
"""
OLLAMA = """
With Ollama, in this folder (the Modelfile has the template, the stop tokens and the settings with
which it was tested):

    ollama create {slug} -f Modelfile
    ollama run {slug}
"""
NO_OLLAMA = """
There is no Modelfile: this model's chat template cannot be said in Ollama's own language. Programs
that read the template in the file itself (llama-server --jinja) ask it as it was tested.
"""
CHECKED = """
How it was checked before you could download it
-----------------------------------------------
The file was loaded back and held against the base model with its adapter, on {prompts} practice
prompts of the goal, {tokens} tokens of answers:

    likeliest token the same     {same_tokens} of {tokens}
    whole answers the same       {same_answers} of {prompts}
    logits differ by             {mean:.6f} on average, {most:.4f} at most
                                 (they spread by {spread:.2f})
"""
FROM = """
Where it comes from
-------------------
Goal: {goal}
Base model: {base} ({source}{revision})
Licence of the base model: {licence}
sha256 of the adapter: {sha256}
"""
NO_LICENCE = "not known here; look it up where the model comes from before you pass this on"


def readme(spec: Mapping[str, Any], file: str, parity: dict[str, Any], *, ollama: bool) -> str:
    about = spec["about"]
    title = about["title"]
    names = {"base": about["base"], "format": spec["number_format"], "file": file}
    text = f"{title}\n{'=' * len(title)}\n\n"
    if spec["container"] == "merged":
        text += MERGED.format(**names)
    else:
        text += GGUF.format(**names)
        text += OLLAMA.format(slug=spec["name"]) if ollama else NO_OLLAMA
    text += CHECKED.format(
        **{name: parity[name] for name in ("prompts", "tokens", "same_tokens", "same_answers")},
        mean=parity["mean_difference"],
        most=parity["max_difference"],
        spread=parity["spread"],
    )
    revision = f", revision {about['revision']}" if about.get("revision") else ""
    return text + FROM.format(
        goal=about["goal"],
        base=about["base"],
        source=about["source"],
        revision=revision,
        licence=about.get("licence") or NO_LICENCE,
        sha256=about["sha256"],
    )
