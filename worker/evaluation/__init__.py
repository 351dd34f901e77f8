"""Every candidate answers the same prompts; then a check of what the adapter has forgotten.

run.py         the job: answers, scores, then the general check
runner.py     the test prompts, and what each candidate is asked
general/       general ability: text, instructions, collapse, and what they add up to
"""
