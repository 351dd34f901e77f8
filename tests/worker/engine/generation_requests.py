"""Generation requests of one user message, and an engine whose steps a test takes itself."""

from worker.engine.engine import Engine
from worker.engine.requests import GenerationRequest


def ask(prompt="Hello there", adapter=None, **options) -> GenerationRequest:
    return GenerationRequest([{"role": "user", "content": prompt}], adapter, **options)


def take_decoder(engine: Engine):
    """Its decoder; the engine's thread takes no more steps of it."""
    engine._compute.remove(engine)
    return engine._decoder
