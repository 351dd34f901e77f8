"""Every candidate answers the same prompts; then each adapter is checked for what else changed.

run.py                the job: answers, scores, latency, then the checks
inputs.py             the spec's candidates and the version's test rows
candidate_runner.py   candidates over prompt rows in batches (suggestions use it too)
passages.py           retrieves passages for candidates with documents
remote.py             candidates that are remote models
number_formats.py     the number format in which each base model computes
paired_engine.py      what was tuned, with its base model as it is beside it
base_cache.py         the base model's answers in both checks, kept for the next evaluation
general_check/        general ability: text, instructions, collapse, and the resulting level
probes/               safety: refusals before and after, training rows that come back
"""
