"""Protects against SSRF: the address is checked on every connection, not when it is entered.

An endpoint's address could otherwise make this machine call its own network: a router's page, a
database, the platform's metadata service. So a name is resolved once, all its addresses must be
public, and the connection goes to exactly the address that was checked, which defeats DNS
rebinding. See docs/decisions/0004.

Uses no settings, since the workers' child processes use it too.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
from functools import lru_cache

import httpx

LOOKUP_TIMEOUT_SECONDS = 10.0
DEFAULT_PORTS = {"http": 80, "https": 443}
NAT64 = ipaddress.ip_network("64:ff9b::/96")  # the last 32 bits are an IPv4 address
NUMERIC = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)\.?", re.IGNORECASE)
HOST = re.compile(r"[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?\.?", re.IGNORECASE)


class NotAllowed(ValueError):
    """Requests to this address are not allowed. The message tells the user why."""


def read_address(text: str) -> httpx.URL:
    """The base URL of an API, without /chat/completions. Raises NotAllowed."""
    text = text.strip()
    if not text.isprintable() or re.search(r"[\s\\]", text):
        raise NotAllowed("An address has no spaces, line ends or backslashes.")
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError, TypeError) as problem:
        raise NotAllowed("That is not an address. It looks like https://host/v1.") from problem
    if url.scheme not in DEFAULT_PORTS or not url.host:
        raise NotAllowed("An address begins with https:// and a host.")
    if not 0 < _port(url) < 65_536:
        raise NotAllowed("A port is a number from 1 to 65,535.")
    if url.userinfo or "@" in url.netloc.decode("ascii", "replace"):
        raise NotAllowed("Leave name and password out of the address; the key has its own field.")
    if url.query or url.fragment or "?" in text or "#" in text:
        raise NotAllowed("Leave out what follows “?” or “#”.")
    _check_form(host_of(url))
    path = re.sub(r"(?<!/)/++(?:chat/completions)?/*+$", "", url.path)
    return url.copy_with(path=path or "/")


def host_of(url: httpx.URL) -> str:
    """The host as it is resolved: lower case, IDNA-encoded, without a final dot."""
    return url.raw_host.decode("ascii").lower().rstrip(".")


def host_and_port(url: httpx.URL) -> str:
    """host:port, as listed in ENDPOINTS_ALLOWED."""
    host = host_of(url)
    return f"{f'[{host}]' if ':' in host else host}:{_port(url)}"


def check(url: httpx.URL, *, private: bool) -> None:
    """Checks that need no DNS lookup. Raises NotAllowed."""
    _check_form(host_of(url))
    if private:
        return
    if url.scheme != "https":
        raise NotAllowed(
            "Only https keeps your key and your questions from being read on the way. Plain http "
            "is for hosts that whoever runs Finetune has named in ENDPOINTS_ALLOWED."
        )
    try:
        literal = str(ipaddress.ip_address(host_of(url)))
    except ValueError:
        if host_of(url) == "localhost" or host_of(url).endswith(".localhost"):
            raise private_address() from None
        return
    if not is_public(literal):
        raise private_address()


def _check_form(host: str) -> None:
    """Accept only names and plain addresses, not forms such as 0x7f000001 or 2130706433."""
    if ":" in host:
        try:
            ipaddress.IPv6Address(host)  # also rejects a zone, as in fe80::1%eth0
        except ValueError as problem:
            raise NotAllowed("That is not an address. It looks like https://host/v1.") from problem
        if "%" in host:
            raise private_address()
        return
    last = host.rsplit(".", 1)[-1]
    if NUMERIC.fullmatch(last):
        try:
            if str(ipaddress.IPv4Address(host)) == host:
                return
        except ValueError:
            pass
        raise NotAllowed("Write the host as a name, or as four plain numbers.")
    if not HOST.fullmatch(host) or ".." in host or len(host) > 253:
        raise NotAllowed("That is not an address. It looks like https://host/v1.")


def is_public(text: str) -> bool:
    """Whether an IP address is public. Tunnel and translation formats are unwrapped."""
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped or ip.sixtofour or ip.teredo or ip.scope_id or ip.is_site_local:
            return False  # tunnels to an IPv4 address that was not checked
        if ip in NAT64:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
    return ip.is_global and not (
        ip.is_private
        or ip.is_loopback
        or ip.is_link_local
        or ip.is_multicast
        or ip.is_reserved
        or ip.is_unspecified
    )


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host name, in the system's order."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(LOOKUP_TIMEOUT_SECONDS):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError) as problem:
        raise httpx.ConnectError(f"{host} was not found.") from problem
    return list(dict.fromkeys(str(where[0]) for *_rest, where in found))


class GuardedTransport(httpx.AsyncBaseTransport):
    """A transport that connects only to checked addresses; Host and TLS use the name.

    `private`: the host and port are in ENDPOINTS_ALLOWED, so the address may be private.
    """

    def __init__(self, *, private: bool) -> None:
        self.private = private
        self.inner: httpx.AsyncBaseTransport = httpx.AsyncHTTPTransport(
            verify=_certificates(), trust_env=False, retries=0
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        check(request.url, private=self.private)
        host = host_of(request.url)
        addresses = await resolve(host, _port(request.url))
        if not self.private and not all(map(is_public, addresses)):
            raise private_address()
        refused: Exception = httpx.ConnectError(f"{host} was not found.")
        for address in addresses:
            try:
                return await self.inner.handle_async_request(_towards(request, address, host))
            except (httpx.ConnectError, httpx.ConnectTimeout) as problem:
                refused = problem  # perhaps no route to this address: try the next
        raise refused

    async def aclose(self) -> None:
        await self.inner.aclose()


def _towards(request: httpx.Request, address: str, host: str) -> httpx.Request:
    """The same request to one address, with the name in the Host header and for TLS."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,  # include Host, made from the name
        stream=request.stream,
        extensions=request.extensions | {"sni_hostname": host},
    )


def _port(url: httpx.URL) -> int:
    return DEFAULT_PORTS[url.scheme] if url.port is None else url.port


def private_address() -> NotAllowed:
    return NotAllowed(
        "That address is on this machine or its network, which Finetune does not call. Whoever "
        "runs Finetune can allow a host by naming it in ENDPOINTS_ALLOWED."
    )


@lru_cache(maxsize=1)
def _certificates() -> ssl.SSLContext:
    """The trusted certificates; SSL_CERT_FILE adds a company's own authority."""
    return httpx.create_ssl_context()
