"""Training, from dataset rows to a LoRA adapter. Read in this order:

spec.py             the settings, each explained
data.py             rows to tokens, tokens to batches
replay/             everyday conversation among the examples, against forgetting
model_loader.py     the base model with a new adapter, in the number format that is fastest here
optimizer.py        AdamW on one flat fp32 copy of the adapter
steps.py            one step: forward, loss on the answers, backward, update
llama_loss.py       the same loss for Llama-like models on a CPU, several times faster
llama_autograd.py   its autograd functions, with hand-written backward passes
sample_answers.py   what the model answers while it learns
checkpoints.py      written so that a kill at any moment loses little and corrupts nothing
memory.py           how much memory a training uses
adapter_export.py   the adapter in PEFT's format
state.py            progress of a run, and the objects it uses
loop.py             the whole run
measure_speed.py    training speed of a base model on this machine
"""

from worker.training.loop import run

__all__ = ["run"]
