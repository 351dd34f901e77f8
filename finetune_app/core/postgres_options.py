"""How a process connects to PostgreSQL: the OPTIONS of its settings."""

import os
from typing import Any

CONNECT_SECONDS = 5
# Without a word from its host, or while it reads nothing of what it is sent, which a busy database
# may do for a while.
GONE_SECONDS = 20
# A connection for each page handled at once (core/request_limits.py), and some for the API, which
# holds one only while it asks the database. While there is no database the pool tries to connect
# after ever longer pauses; after reconnect_timeout it begins anew with short ones.
POOL = {"min_size": 1, "max_size": 24, "timeout": 10, "max_idle": 60, "reconnect_timeout": 5}


def postgres_options() -> dict[str, Any]:
    """By what the process is for (FINETUNE_WEB, FINETUNE_LANE)."""
    options: dict[str, Any] = {
        "application_name": "finetune",  # what a refused restore calls us (exclusive_use.py)
        "connect_timeout": CONNECT_SECONDS,
        "keepalives_idle": 5,
        "keepalives_interval": 5,
        "keepalives_count": (GONE_SECONDS - 5) // 5,
        "tcp_user_timeout": GONE_SECONDS * 1000,
    }
    if os.environ.get("FINETUNE_LANE"):
        # A worker frozen in the middle of a transaction would keep its locks for ever, and nobody
        # could take its job over.
        options["options"] = "-c idle_in_transaction_session_timeout=8s"
    elif os.environ.get("FINETUNE_WEB"):
        options["pool"] = POOL
    return options
