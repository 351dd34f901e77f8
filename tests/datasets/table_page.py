"""Reads the table page of a dataset."""

import re

from tests.page_text import compact


def numbers(page: str) -> list[int]:
    return [int(number) for number in re.findall(r'<tr id="row-(\d+)"', page)]


def get(client, url, query: str = "", **kwargs) -> str:
    reply = client.get(url("page") + query, **kwargs)
    assert reply.status_code == 200
    return compact(reply)
