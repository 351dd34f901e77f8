"""Candidates answer a person's own prompts, which have no wanted answers: nothing is scored."""
