"""The secrets of a backup, readable only with its passphrase.

scrypt (RFC 7914) makes the key, with a cost of its own for each guess; Fernet encrypts with it.
"""

import base64
import hashlib
import json
import os
import sys
from getpass import getpass

from cryptography.fernet import Fernet, InvalidToken

from finetune_app.core.secrets import Secrets
from finetune_app.operations.errors import BackupError

VARIABLE = "BACKUP_PASSPHRASE"
MIN_CHARACTERS = 12
SALT_BYTES = 16
COST, BLOCK_SIZE, PARALLELISM = 2**16, 8, 1  # of scrypt: 64 MB and about 0.2 s a guess
MEMORY_BYTES = 2**27  # that it may use
WRONG = "That is not the passphrase of this backup. Nothing was changed."
MISSING = (
    "This backup needs its passphrase. Run the command in a terminal, where it asks, or set "
    f"{VARIABLE}."
)


def encrypt_secrets(secrets: Secrets, passphrase: str) -> bytes:
    """Raises BackupError for a passphrase that is easily guessed."""
    if len(passphrase) < MIN_CHARACTERS:
        raise BackupError(f"A passphrase has at least {MIN_CHARACTERS} characters.")
    salt = os.urandom(SALT_BYTES)
    return salt + Fernet(_key(passphrase, salt)).encrypt(json.dumps(secrets).encode())


def decrypt_secrets(content: bytes, passphrase: str) -> Secrets:
    """Raises BackupError for another passphrase."""
    salt, token = content[:SALT_BYTES], content[SALT_BYTES:]
    try:
        found: Secrets = json.loads(Fernet(_key(passphrase, salt)).decrypt(token))
    except InvalidToken:
        raise BackupError(WRONG) from None
    return found


def given_passphrase() -> str:
    """Of the environment, else typed. Raises BackupError where nobody can type one."""
    if passphrase := os.environ.get(VARIABLE):
        return passphrase
    if not sys.stdin.isatty():
        raise BackupError(MISSING)
    return getpass("Passphrase of the backup: ")


def chosen_passphrase(*, ask: bool) -> str:
    """Of the environment, else typed twice if asked for; empty for a backup without one.

    Raises BackupError.
    """
    passphrase = os.environ.get(VARIABLE, "")
    if passphrase or not ask:
        return passphrase
    if not sys.stdin.isatty():
        raise BackupError(f"Run the command in a terminal, where it asks, or set {VARIABLE}.")
    passphrase = getpass("Passphrase for the backup: ")
    if getpass("Once more: ") != passphrase:
        raise BackupError("The two are different. Nothing was saved.")
    if not passphrase:
        raise BackupError("The passphrase is empty. Nothing was saved.")
    return passphrase


def _key(passphrase: str, salt: bytes) -> bytes:
    made = hashlib.scrypt(
        passphrase.encode(),
        salt=salt,
        n=COST,
        r=BLOCK_SIZE,
        p=PARALLELISM,
        maxmem=MEMORY_BYTES,
        dklen=32,
    )
    return base64.urlsafe_b64encode(made)
