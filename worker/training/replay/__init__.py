"""Replay: everyday conversation between the examples, so that the model keeps what it knows.

A model that reads nothing but one task soon answers everything in that task's form. So each
update also reads a few everyday prompts with the answers that the base model itself gives to
them. At each word of such an answer the tuned model is taught to expect what the base model
expects, with the same probabilities (not just the one word that came): that costs the task
little and
ties the model to its base where the task has no say.

prompts.jsonl  the prompts, written for this project; none is in or near the general check
answers.py     the base model's own answers, made once for each base model
schedule.py    which of them an update reads
"""

from worker.training.replay.answers import replay_examples
from worker.training.replay.schedule import replay_indices, replay_weight

__all__ = ["replay_examples", "replay_indices", "replay_weight"]
