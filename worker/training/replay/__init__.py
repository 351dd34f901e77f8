"""Replay: everyday conversation among the examples, so that the model keeps what it knows.

A model that is trained on one task alone soon answers everything in that task's form. So each
update also reads a few everyday prompts, with the answers that the base model itself gives to
them. At each token of such an answer the target is the base model's whole distribution, not only
the token that was chosen (knowledge distillation): this costs the task little, and ties the model
to its base where the task does not apply.

prompts.jsonl  the prompts, written for this project; none is in or near the general check
answers.py     the base model's answers, generated once for each base model
schedule.py    which of them an update reads
record.py      writes the starter model's answers, which come with the program
"""

from worker.training.replay.answers import replay_examples
from worker.training.replay.schedule import replay_indices, replay_weight

__all__ = ["replay_examples", "replay_indices", "replay_weight"]
