"""The README of an export: what it is, how to run it, how it was checked."""

from __future__ import annotations

from finetune_app.model_export.job_messages import ExportSpec, ParityResult

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
WITHOUT_OLLAMA = """
There is no Modelfile: this model's chat template cannot be said in Ollama's own language. Programs
that read the template in the file itself (llama-server --jinja) ask it as it was tested.
"""
PARITY = """
How it was checked before you could download it
-----------------------------------------------
The file was loaded back and held against the base model with its adapter, on {prompts} practice
prompts of the goal, {tokens} tokens of answers:

    likeliest token the same     {same_tokens} of {tokens}
    whole answers the same       {same_answers} of {prompts}
    logits differ by             {mean_difference:.6f} on average, {max_difference:.4f} at most
                                 (they spread by {spread:.2f})
"""
PROVENANCE = """
Where it comes from
-------------------
Goal: {goal}
Base model: {base} ({source}{revision})
Licence of the base model: {licence}
sha256 of the adapter: {sha256}
"""
UNKNOWN_LICENCE = "not known here; look it up where the model comes from before you pass this on"


def readme(spec: ExportSpec, file: str, parity: ParityResult, *, has_modelfile: bool) -> str:
    """`file`: name of the GGUF file, unused for a merged model."""
    about = spec["about"]
    title = about["title"]
    names = {"base": about["base"], "format": spec["number_format"], "file": file}
    text = f"{title}\n{'=' * len(title)}\n\n"
    if spec["container"] == "merged":
        text += MERGED.format(**names)
    else:
        text += GGUF.format(**names)
        text += OLLAMA.format(slug=spec["name"]) if has_modelfile else WITHOUT_OLLAMA
    text += PARITY.format(**parity)
    revision = f", revision {about['revision']}" if about["revision"] else ""
    return text + PROVENANCE.format(
        goal=about["goal"],
        base=about["base"],
        source=about["source"],
        revision=revision,
        licence=about["licence"] or UNKNOWN_LICENCE,
        sha256=about["sha256"],
    )
