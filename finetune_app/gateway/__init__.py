"""The OpenAI-compatible API under /v1.

access.py            authenticates API keys; checks their actions, limits and budgets
errors.py            errors in OpenAI's format
json_body.py         reads the JSON body of a request
schemas.py           validates requests for chat completions
text_completions.py  the older /v1/completions: validates requests, writes responses
responses.py         writes chat completions: a JSON object, or server-sent events
model_lookup.py      resolves model names to deployments, tuned models and base models
responses_api/       the Responses API, as another form of chat completions
embedding_requests.py  one request for embeddings
generation.py        asks the candidate, streams the answer and logs the request
views/               one module for each address
"""
