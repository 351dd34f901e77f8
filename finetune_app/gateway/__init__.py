"""The OpenAI-compatible API under /v1.

access.py        which API key may do this, and how much is left of its limits and budget
errors.py        errors in OpenAI's format
schemas.py       reads and checks the body of a request
responses.py     writes chat completions: a JSON object, or server-sent events
model_lookup.py  which base model, deployment or tuned model a name stands for
generation.py    one request for text: asks the candidate, streams the answer, logs the request
views/           one module for each address
"""
