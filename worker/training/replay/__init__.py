"""Replay: everyday conversation among the examples, against forgetting.

A model that is trained on one task alone soon answers everything in that task's form. So each
update also reads a few everyday prompts, with the base model's own answers. At each token of such
an answer the target is the base model's whole distribution, not only the chosen token (knowledge
distillation). This costs the task little, and keeps the model close to its base elsewhere.

prompts.jsonl  the prompts, written for this project; none is in or near the general check
answers.py     the base model's answers, generated once for each base model
targets.py     its distribution at each token of them, read once for each base model
schedule.py    which of them an update reads
record.py      writes the starter model's answers, which come with the program
"""

from worker.training.replay.answers import replay_examples
from worker.training.replay.schedule import replay_indices, replay_weight

__all__ = ["replay_examples", "replay_indices", "replay_weight"]
