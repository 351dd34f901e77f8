"""Rows without an answer, and what people do with them."""

import re

from finetune_app.datasets.models import Dataset, Status
from finetune_app.datasets.services import add_rows
from tests.example_rows import conversation, pair


def to_do(dataset: Dataset, by, count: int = 5, start: int = 100) -> None:
    rows = [
        {"messages": conversation(pair(n)[0], ""), "split": ""} for n in range(start, start + count)
    ]
    add_rows(dataset=dataset, by=by, rows=rows, source="inbox.csv", status=Status.PENDING)


def done(dataset: Dataset, by, answers: list[str]) -> None:
    rows = [
        {"messages": conversation(pair(n)[0], answer), "split": ""}
        for n, answer in enumerate(answers)
    ]
    add_rows(dataset=dataset, by=by, rows=rows, source="emails.csv")


def row(dataset: Dataset, number: int):
    return dataset.examples.get(number=number)


def pressed(client, url, dataset: Dataset, number: int, query: str = "", **button):
    """Submit the form of a row with one button, as a browser does."""
    form = {"seen": row(dataset, number).changed_at.isoformat(), "answer": ""} | button
    return client.post(url("row", number=number) + query, form)


def typed(client, url, dataset: Dataset, number: int, text: str):
    """Send a draft, as the page does while the user types."""
    form = {"seen": row(dataset, number).changed_at.isoformat(), "answer": text}
    return client.post(url("save_draft", number=number), form)


def markup(response) -> str:
    """The page with line breaks and indentation collapsed, as the template formatter sets them."""
    return re.sub(r" (?=>|</h)", "", " ".join(response.content.decode().split()))
