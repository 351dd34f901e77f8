"""A chat template with thoughts, as Qwen3's, and tiny models that have it."""

from pathlib import Path

from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from tests.worker.engine.tiny_models import make_base

# Qwen3's in short: a thought is read from the text, kept after the last question only, and an
# empty one stands in the prompt where thinking is off.
THINKING = """\
{%- set ns = namespace(last=0) %}
{%- for m in messages %}
    {%- if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}
{%- endfor %}
{%- for m in messages %}
{{- '<|im_start|>' + m.role + '\n' }}
{%- set content = m.content %}
{%- if m.role == 'assistant' %}
    {%- set thought = '' %}
    {%- if '</think>' in content %}
        {%- set thought = content.split('</think>')[0].split('<think>')[-1].strip('\n') %}
        {%- set content = content.split('</think>')[-1].lstrip('\n') %}
    {%- endif %}
    {%- if loop.index0 > ns.last and (loop.last or thought) %}
        {{- '<think>\n' + thought + '\n</think>\n\n' }}
    {%- endif %}
{%- endif %}
{{- content + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\n\n</think>\n\n' }}
    {%- endif %}
{%- endif %}"""


def let_it_think(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """Give a tokenizer of ChatML the tokens and the template."""
    tokenizer.add_tokens(["<think>", "</think>"])
    tokenizer.chat_template = THINKING
    return tokenizer


def make_thinking_base(folder: Path, kind: str = "llama") -> Path:
    """A random model with the two tokens."""
    make_base(folder, kind)
    tokenizer = let_it_think(AutoTokenizer.from_pretrained(folder))
    tokenizer.chat_template = THINKING.replace("<|im_", "<|")
    tokenizer.save_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.save_pretrained(folder)
    return folder
