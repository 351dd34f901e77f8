"""How the secrets of links and codes are kept."""

import hashlib


def hash_secret(secret: str) -> str:
    """SHA-256 is enough: these secrets are random and long, there is nothing to guess."""
    return hashlib.sha256(secret.encode()).hexdigest()
