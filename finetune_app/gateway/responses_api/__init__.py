"""OpenAI's Responses API, /v1/responses, as another form of chat completions.

generation.py  from the body of a request to what answers it
request.py     turns a request into one for chat completions
items.py       input and output items, and the messages that they stand for
answer.py      writes the response: a JSON object, or OpenAI's sequence of events
"""
