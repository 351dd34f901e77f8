"""Log format: one line per record, with the request id and without secrets."""

import contextvars
import logging
import re
from copy import copy

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="-")

# Finetune's keys, and common formats of platforms' keys.
SECRET = re.compile(
    r"(?P<before>\bft-[0-9a-f]{8}-|\bhf_|\bsk-|(?i:bearer\s+)|/join/|(?<![0-9])/chat/|[?&]code=)[\w.~+/=-]{6,}"
)


class RequestIdFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id.get()
        return True


class LineFormatter(logging.Formatter):
    """Escapes line breaks in messages and masks keys. Tracebacks keep their lines."""

    def format(self, record: logging.LogRecord) -> str:
        plain = copy(record)
        plain.msg, plain.args = one_line(record.getMessage()), None
        return without_secrets(super().format(plain))


def one_line(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def without_secrets(text: str) -> str:
    return SECRET.sub(r"\g<before>…", text)
