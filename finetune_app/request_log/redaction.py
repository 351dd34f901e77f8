"""Removes personal data and secrets from a text before it is stored.

The kinds that the dataset check detects (checks/detectors/pii.py), and names where the words around
them show that they are names: a greeting, a closing, “my name is”. A name inside a sentence is not
found; the settings page says so. docs/decisions/0029 says why this is not a library.
"""

import re
from typing import NamedTuple

from finetune_app.checks.detectors import pii
from finetune_app.checks.detectors.pii import Span

MAX_CHARACTERS = 20_000  # of a redacted message; the rest is cut off
LOOK_AHEAD = 10_000  # characters behind that are scanned, to see where the last span ends

_WORD = r"[^\W\d_a-z][^\W\d_]+(?:[-'’][^\W\d_a-z][^\W\d_]+)*"  # capitalised
_PART = rf"(?:{_WORD}|[^\W\d_a-z]\.)"  # a word or an initial
_PARTICLES = r"(?:(?:van|von|de|da|der|den|ter|del|della|di|du|la|le|bin|al|y|e)[ \t]+){0,2}"
_NAME = rf"(?P<name>{_PART}(?:[ \t]+{_PARTICLES}{_PART}){{0,3}})"
_NAME_PATTERNS = (
    # my name is Mara Lind; ich heiße, je m'appelle, me llamo
    re.compile(
        rf"\b(?i:my name is|my name['’]s|this is|name:|ich hei(?:ß|ss)e|mein name ist|"
        rf"je m['’]appelle|me llamo|mi nombre es|mi chiamo)[ \t]+{_NAME}"
    ),
    # Dear Mrs Lind, Hello Mara, Hallo Frau Lind
    re.compile(
        rf"(?m)^[ \t]*(?i:dear|hello|hi|hey|hallo|liebe[r]?|sehr geehrte[r]?|guten tag|bonjour|"
        rf"cher|ch[eè]re|hola|estimad[oa]|ciao|gentile)[ \t]+"
        rf"(?:(?i:mr|mrs|ms|dr|prof|herr[n]?|frau|madame|monsieur|se[ñn]or[a]?|sig)\.?[ \t]+)*"
        rf"{_NAME}(?=[ \t]*(?:[,!:.\n]|$))"
    ),
    # Mrs Lind, Herr Lind, anywhere in a sentence
    re.compile(
        rf"\b(?:Mr|Mrs|Ms|Miss|Dr|Prof|Herr|Herrn|Frau|Madame|Monsieur)\.?[ \t]+"
        rf"(?:(?:Dr|Prof)\.?[ \t]+)*{_NAME}"
    ),
    # Kind regards, and the name on the next line
    re.compile(
        rf"(?m)^[ \t]*(?i:(?:(?:kind|best|warm|many)[ \t]*)?regards|sincerely|"
        rf"yours(?: truly)?|best|cheers|thanks|thank you|many thanks|"
        rf"(?:viele|liebe|beste|mit freundlichen) gr(?:ü|ue)(?:ß|ss)en?|"
        rf"cordialement|saludos|cordiali saluti)[ \t]*+[,.!]?[ \t]*+\n\s*+{_NAME}[ \t]*(?:\n|$)"
    ),
)
_NOT_A_NAME = re.compile(r"(?i)^(?:there|all|everyone|team|support|you|the|a|an|it|i)$")


class Redacted(NamedTuple):
    text: str
    removed: int  # number of spans


def redact(text: str) -> Redacted:
    """The text with each span replaced by its kind, such as [email]. It is cut to MAX_CHARACTERS,
    but not within a span, so that no half of one is left."""
    text = text[: MAX_CHARACTERS + LOOK_AHEAD].replace("\x00", "")  # PostgreSQL stores no NUL
    found = pii.without_overlaps([*pii.secrets(text), *pii.personal(text), *_names(text)])
    spans = [span for span in found if span.start < MAX_CHARACTERS]
    end = max([MAX_CHARACTERS, *(span.end for span in spans)])
    return Redacted(pii.redacted(text[:end], spans)[:MAX_CHARACTERS], len(spans))


def _names(text: str) -> list[Span]:
    return [
        Span(*match.span("name"), "name")
        for pattern in _NAME_PATTERNS
        for match in pattern.finditer(text)
        if not _NOT_A_NAME.match(match.group("name"))
    ]
