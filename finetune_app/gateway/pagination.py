"""Cursor pagination of lists, as in OpenAI's API: `after`, `limit` and `order`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from django.db.models import Model, QuerySet
from django.http import HttpRequest

from finetune_app.core.requests import whole_number
from finetune_app.gateway.errors import invalid_request
from finetune_app.gateway.json_body import JsonObject

Row = TypeVar("Row", bound=Model)
ORDERS = ("asc", "desc")


@dataclass(frozen=True)
class PageRequest:
    """At most `limit` objects after the one with the id `after` ("": from the beginning)."""

    limit: int
    after: str
    oldest_first: bool


def parse_page_request(request: HttpRequest, *, default: int, maximum: int) -> PageRequest:
    """A limit above `maximum` means `maximum`; `has_more` tells the client to go on.

    Raises ApiError if `limit` or `order` is invalid.
    """
    given, order = request.GET.get("limit"), request.GET.get("order") or "desc"
    limit = whole_number(given) if given else default
    if not limit:
        raise invalid_request(f"“limit” is a whole number from 1 to {maximum:,}.", "limit")
    if order not in ORDERS:
        raise invalid_request("“order” is “asc” or “desc”.", "order")
    return PageRequest(min(limit, maximum), request.GET.get("after") or "", order == "asc")


def page_of_rows(
    rows: QuerySet[Row],
    page: PageRequest,
    *,
    cursor: Callable[[str], Row],
    as_object: Callable[[Row], JsonObject],
) -> JsonObject:
    """A page of database rows, the newest first unless `page` says otherwise.

    cursor: finds the row with a public id, or raises ApiError.
    """
    rows = rows.order_by("pk" if page.oldest_first else "-pk")
    if page.after:
        last = cursor(page.after).pk
        rows = rows.filter(pk__gt=last) if page.oldest_first else rows.filter(pk__lt=last)
    found = list(rows[: page.limit + 1])
    objects = [as_object(row) for row in found[: page.limit]]
    return list_object(objects, has_more=len(found) > page.limit)


def page_of_objects(newest_first: list[JsonObject], page: PageRequest) -> JsonObject:
    """A page of objects that are made anew for each request. Raises ApiError for an unknown
    `after`."""
    objects = newest_first[::-1] if page.oldest_first else newest_first
    start = 0
    if page.after:
        ids = [one["id"] for one in objects]
        if page.after not in ids:
            raise invalid_request(
                f"“after”: there is no “{page.after[:80]}” in this list.", "after"
            )
        start = ids.index(page.after) + 1
    end = start + page.limit
    return list_object(objects[start:end], has_more=len(objects) > end)


def list_object(objects: list[JsonObject], *, has_more: bool) -> JsonObject:
    return {
        "object": "list",
        "data": objects,
        "has_more": has_more,
        "first_id": objects[0]["id"] if objects else None,
        "last_id": objects[-1]["id"] if objects else None,
    }


def with_text_ids(page: JsonObject) -> JsonObject:
    """OpenAI describes the ids of some lists as texts, and as nullable in its other lists."""
    return page | {"first_id": page["first_id"] or "", "last_id": page["last_id"] or ""}
