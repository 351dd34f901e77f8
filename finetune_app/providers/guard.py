"""Where a request may go. The address is checked when it connects, not when somebody typed it.

Whoever may name an address could otherwise make this machine ask its own neighbours: a router's
page, a database, the platform's metadata service. So a name is looked up once, every address it
has must be a public one, and the connection goes to exactly the address that was checked; a name
that answers differently a moment later gains nothing. See docs/decisions/0004.

Pure Python without settings, since workers' children use it too.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
from functools import lru_cache

import httpx

LOOKUP_SECONDS = 10.0
DEFAULT_PORTS = {"http": 80, "https": 443}
NAT64 = ipaddress.ip_network("64:ff9b::/96")  # holds a whole IPv4 address in its last 32 bits
NUMERIC = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)\.?", re.IGNORECASE)
HOST = re.compile(r"[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?\.?", re.IGNORECASE)


class NotAllowed(ValueError):
    """This address is not asked; the message says why, for the person."""


def read_address(text: str) -> httpx.URL:
    """The base address of an API, without what clients add to it. Raise NotAllowed."""
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
    path = re.sub(r"/+(?:chat/completions)?/*$", "", url.path)
    return url.copy_with(path=path or "/")


def host_of(url: httpx.URL) -> str:
    """As it is looked up: small letters, other scripts in their ASCII form, no final dot."""
    return url.raw_host.decode("ascii").lower().rstrip(".")


def place_of(url: httpx.URL) -> str:
    """host:port, as an operator names it in ENDPOINTS_ALLOWED."""
    host = host_of(url)
    return f"{f'[{host}]' if ':' in host else host}:{_port(url)}"


def check(url: httpx.URL, *, private: bool) -> None:
    """What can be told without a look-up. Raise NotAllowed."""
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
            raise _private() from None
        return
    if not is_public(literal):
        raise _private()


def _check_form(host: str) -> None:
    """Names and plain addresses only: 0x7f000001 and 2130706433 are addresses in disguise."""
    if ":" in host:
        try:
            ipaddress.IPv6Address(host)  # also refuses a zone, as in fe80::1%eth0
        except ValueError as problem:
            raise NotAllowed("That is not an address. It looks like https://host/v1.") from problem
        if "%" in host:
            raise _private()
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
    """Whether an IP address lies in the public internet, whatever it is wrapped in."""
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped or ip.sixtofour or ip.teredo or ip.scope_id or ip.is_site_local:
            return False  # tunnels to an IPv4 address that nobody checked
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


async def look_up(host: str, port: int) -> list[str]:
    """The addresses of a name, in the order in which the system would try them."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(LOOKUP_SECONDS):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError) as problem:
        raise httpx.ConnectError(f"{host} was not found.") from problem
    return list(dict.fromkeys(str(where[0]) for *_rest, where in found))


class Guard(httpx.AsyncBaseTransport):
    """Connects to addresses it has checked itself, and keeps the name for Host and TLS.

    `private`: the operator named this host and port, so it may lie in a private network.
    """

    def __init__(self, *, private: bool) -> None:
        self.private = private
        self.inner: httpx.AsyncBaseTransport = httpx.AsyncHTTPTransport(
            verify=_certificates(), trust_env=False, retries=0
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        check(request.url, private=self.private)
        host = host_of(request.url)
        addresses = await look_up(host, _port(request.url))
        if not self.private and not all(map(is_public, addresses)):
            raise _private()
        refused: Exception = httpx.ConnectError(f"{host} was not found.")
        for address in addresses:
            try:
                return await self.inner.handle_async_request(_towards(request, address, host))
            except (httpx.ConnectError, httpx.ConnectTimeout) as problem:
                refused = problem  # this machine may have no way to that one: try the next
        raise refused

    async def aclose(self) -> None:
        await self.inner.aclose()


def _towards(request: httpx.Request, address: str, host: str) -> httpx.Request:
    """The same request to one address; its Host header and its certificate stay the name's."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,  # with Host, made from the name
        stream=request.stream,
        extensions=request.extensions | {"sni_hostname": host},
    )


def _port(url: httpx.URL) -> int:
    return DEFAULT_PORTS[url.scheme] if url.port is None else url.port


def _private() -> NotAllowed:
    return NotAllowed(
        "That address is inside this machine or its network, where Finetune does not ask. Whoever "
        "runs Finetune can allow a host by naming it in ENDPOINTS_ALLOWED."
    )


@lru_cache(maxsize=1)
def _certificates() -> ssl.SSLContext:
    """Whom to trust; SSL_CERT_FILE adds a company's own authority."""
    return httpx.create_ssl_context()
