"""The HTML of a page without the white space that a formatter is free to choose."""

import re

from django.http import HttpResponseBase

SPACE = re.compile(r"\s+")
INSIDE_TAG = re.compile(r"\s+(/?>)")
AROUND_TAG = re.compile(r"\s*(</?[a-z][^>]*>)\s*")


def compact(html: str | HttpResponseBase) -> str:
    """No white space before or after a tag, none before its ">", one space elsewhere."""
    text = html if isinstance(html, str) else html.content.decode()
    return AROUND_TAG.sub(r"\1", INSIDE_TAG.sub(r"\1", SPACE.sub(" ", text)))
