"""HTML without whitespace that depends on the template formatter."""

import re

from django.http import HttpResponseBase

SPACE = re.compile(r"\s+")
INSIDE_TAG = re.compile(r"\s+(/?>)")
AROUND_TAG = re.compile(r"\s*(</?[a-z][^>]*>)\s*")


def compact(html: str | HttpResponseBase) -> str:
    """Remove whitespace around tags and before ">"; collapse the rest."""
    text = html if isinstance(html, str) else html.content.decode()
    return AROUND_TAG.sub(r"\1", INSIDE_TAG.sub(r"\1", SPACE.sub(" ", text)))
