"""The OpenAI-compatible API under /v1: wire format in, candidates' answers out."""
