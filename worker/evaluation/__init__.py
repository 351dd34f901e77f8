"""Every candidate answers the same prompts; then a check of what the adapter has forgotten.

run.py                the job: answers, scores, latency, then the general check
inputs.py             the spec's candidates and the version's test rows
candidate_runner.py   candidates over prompt rows in batches (suggestions use it too)
passages.py           what candidates with documents are shown
remote.py             candidates that are remote models
number_formats.py     the number format in which each base model computes
general_check/        general ability: text, instructions, collapse, and what they add up to
"""
