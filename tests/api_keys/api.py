"""A request to the API with a key, without a server."""

import json

from django.test import Client

CHAT = {"model": "sort-shop-emails", "messages": [{"role": "user", "content": "Hello"}]}


def ask(text: str, address: str = "/v1/chat/completions", method: str = "POST", body=CHAT):
    return Client().generic(
        method,
        address,
        json.dumps(body),
        content_type="application/json",
        headers={"Authorization": f"Bearer {text}"},
    )
