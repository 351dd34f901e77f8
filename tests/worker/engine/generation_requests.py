"""Generation requests of one user message."""

from worker.engine.requests import GenerationRequest


def ask(prompt="Hello there", adapter=None, **options) -> GenerationRequest:
    return GenerationRequest([{"role": "user", "content": prompt}], adapter, **options)
