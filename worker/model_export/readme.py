"""The README.md of an export: its model card, with how to run it and how it was checked."""

from __future__ import annotations

import json

from transformers import PreTrainedTokenizerBase

from finetune_app.core.thinking import NO, THOUGHT_TOKENS
from finetune_app.model_export.job_messages import ExportSpec, ParityResult
from worker.chat_template import tool_problem, used_options

MERGED = """
## How to run it

It runs wherever transformers runs ({format}), and in programs that read its folders:

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("model", dtype="auto")
tokenizer = AutoTokenizer.from_pretrained("model")
asked = tokenizer.apply_chat_template(
    [{{"role": "user", "content": "..."}}],
    add_generation_prompt=True, return_tensors="pt", return_dict=True,{options}
)
print(tokenizer.decode(model.generate(**asked, max_new_tokens=200)[0]))
```
"""
GGUF = """
## How to run it

With llama.cpp, LM Studio and other programs that read GGUF ({format}):

    llama-server -m {file} --jinja --temp 0{options}
"""
OLLAMA = """
With Ollama, in this folder (the Modelfile has the template, the stop tokens and the settings with
which it was tested):

    ollama create {slug} -f Modelfile
    ollama run {slug}
"""
WITHOUT_OLLAMA = """
There is no Modelfile: {why}. Programs
that read the template in the file itself (llama-server --jinja) ask it as it was tested.
"""
TOOLS = """
The Modelfile knows no tools. Programs that read the template in the file itself show the model the
functions as it was taught.
"""
THINKS = """
It thinks before it answers: what it writes begins with <think>, and its answer follows </think>. In
the test a thought had at most {tokens:,} tokens; then </think> was written for it.
"""
PARITY = """
## How this file was checked

It was loaded back and compared with {reference}, on {prompts} practice
prompts of the goal, {tokens} tokens of answers:

- likeliest token the same: {same_tokens} of {tokens}
- whole answers the same: {same_answers} of {prompts}
- logits differ by {mean_difference:.6f} on average, {max_difference:.4f} at most; they spread by
  {spread:.2f}
"""


def readme(
    spec: ExportSpec,
    file: str,
    parity: ParityResult,
    tokenizer: PreTrainedTokenizerBase,
    *,
    has_modelfile: bool,
) -> str:
    """`file`: name of the GGUF file, unused for a merged model."""
    thinking = spec["thinking"]
    options = used_options(tokenizer, thinking=thinking != NO)
    if spec["container"] == "merged":
        named = "".join(f"\n    {name}={value!r}," for name, value in options.items())
        run = MERGED.format(format=spec["number_format"], options=named)
    else:
        kwargs = f" \\\n        --chat-template-kwargs '{json.dumps(options)}'" if options else ""
        run = GGUF.format(format=spec["number_format"], file=file, options=kwargs)
        run += OLLAMA.format(slug=spec["name"]) if has_modelfile else _without_ollama(thinking)
        run += TOOLS if has_modelfile and not tool_problem(tokenizer) else ""
    run += THINKS.format(tokens=THOUGHT_TOKENS[thinking]) if thinking != NO else ""
    checked = PARITY.format(**parity, reference=_reference(spec))
    card = spec["card"]
    return "".join([card["start"], "\n", run, checked, card["facts"], "\n"])


def _without_ollama(thinking: str) -> str:
    why = "this model's chat template cannot be said in Ollama's own language"
    if thinking != NO:
        why = "with one, Ollama would show what the model thinks as part of its answer"
    return WITHOUT_OLLAMA.format(why=why)


def _reference(spec: ExportSpec) -> str:
    if spec["adapter"] is None:
        return "the model that the training left"
    if spec["in_4bit"]:
        return "the base model, rounded to 4 bits, with its adapter"
    return "the base model with its adapter"
