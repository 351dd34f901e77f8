"""Add rows, and submit the forms of the labelling page."""

import re

from finetune_app.datasets.models import Dataset, Status
from finetune_app.datasets.services import add_rows
from tests.example_rows import conversation, pair


def add_pending_rows(dataset: Dataset, by, count: int = 5, start: int = 100) -> None:
    rows = [
        {"messages": conversation(pair(n)[0], ""), "split": ""} for n in range(start, start + count)
    ]
    add_rows(dataset=dataset, by=by, rows=rows, source="inbox.csv", status=Status.PENDING)


def add_answered_rows(dataset: Dataset, by, answers: list[str]) -> None:
    rows = [
        {"messages": conversation(pair(n)[0], answer), "split": ""}
        for n, answer in enumerate(answers)
    ]
    add_rows(dataset=dataset, by=by, rows=rows, source="emails.csv")


def row(dataset: Dataset, number: int):
    return dataset.examples.get(number=number)


def press_button(client, url, dataset: Dataset, number: int, query: str = "", **button):
    """Submit the form of a row with one button, as a browser does."""
    form = {"seen": row(dataset, number).changed_at.isoformat(), "answer": ""} | button
    return client.post(url("row", number=number) + query, form)


def send_draft(client, url, dataset: Dataset, number: int, text: str):
    """Save a draft, as the page does while the user types."""
    form = {"seen": row(dataset, number).changed_at.isoformat(), "answer": text}
    return client.post(url("save_draft", number=number), form)


def markup(response) -> str:
    """The page without the white space that the template formatter adds."""
    return re.sub(r" (?=>|</h)", "", " ".join(response.content.decode().split()))
