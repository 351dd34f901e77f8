"""Signs a browser in."""

from django.test import Client
from playwright.sync_api import BrowserContext


def sign_in(context: BrowserContext, client: Client, server: str) -> None:
    context.add_cookies(
        [{"name": n, "value": one.value, "url": server} for n, one in client.cookies.items()]
    )
