"""Training, from dataset rows to a LoRA adapter. Read in this order:

spec.py             the settings, each explained
data.py             rows to tokens, tokens to batches
pairs.py            two answers to the same conversation, of which people prefer one
replay/             everyday conversation among the examples, against forgetting
model_loader.py     the base model with its adapter, in the number format that is fastest here
full_model.py       or a model of which every weight is trained
optimizer.py        AdamW on one flat fp32 copy of the adapter
losses.py           cross-entropy of every learned token
lm_head.py          its logits, a few hundred positions at a time
packing.py          a batch without padding, where attention has a kernel for it
llama_loss.py       the same for Llama-like models on a CPU, several times faster
llama_batch.py      the batch it reads, laid end to end
llama_autograd.py   its autograd functions, with hand-written backward passes
probes.py           whether a faster way gives transformers' gradients
few_layers.py       of the model, for probes that need no more
objectives.py       what a training minimises: supervised fine-tuning and replay
dpo.py              and direct preference optimisation
micro_batches.py    an update in parts that fit in memory
steps.py            one step: forward, loss, backward, update
data_parallel.py    several processes, one for each graphics card, share every update
peer.py             each of the others
validation.py       when a run is measured, which step is best, when it ends early
validation_answers.py  what the model answers while it learns
curve.py            the points of the learning curve
general_ability.py  how well it still predicts everyday text
kept_steps.py       the adapters of measured steps, for whoever wants another than the best
checkpoints.py      written so that a kill at any moment loses little and corrupts nothing
memory.py           how much memory a training uses
memory_plan.py      what a model saves for the backward pass, counted without its weights
memory_choice.py    a way of working that fits, chosen by the plan
rehearsal.py        the largest batch, tried before the first step
out_of_memory.py    what is tried where memory runs out; killed_attempts.py: also after a kill
shortening.py       the last of it: shorter rows
adapter_export.py   the adapter in PEFT's format
state.py            progress of a run, and the objects it uses
prepare.py          from the spec to the first step, or the next one
loop.py             the whole run
measure_speed.py    training speed on this machine; everyday rows read beforehand
"""

from worker.training.loop import run

__all__ = ["run"]
