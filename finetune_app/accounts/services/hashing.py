"""Hashes of the secrets in links and codes."""

import hashlib


def hash_secret(secret: str) -> str:
    """SHA-256 without salt or stretching: the secrets are long and random."""
    return hashlib.sha256(secret.encode()).hexdigest()
