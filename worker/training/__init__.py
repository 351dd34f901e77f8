"""Training, from rows to an adapter. Read in this order:

spec.py         what can be set, each field explained
data.py         rows to tokens, tokens to batches
replay/         everyday conversation between the rows, against forgetting
model.py        the base model, the adapter on it, the number format
optimizer.py    AdamW on one flat fp32 copy of the adapter
steps.py        one step: forward, loss on the answers, backward
fast_llama.py   the same step for Llama-like models on a processor, several times faster
llama_autograd.py     its pieces, with their derivatives
samples.py      what the model answers while it learns
checkpoints.py  saved so that a kill at any moment loses little and breaks nothing
memory.py       how much memory it takes
export.py       the adapter as others load it
loop.py         the whole run
"""

from worker.training.loop import run

__all__ = ["run"]
