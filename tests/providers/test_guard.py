"""Addresses on this machine or its network are rejected in every notation."""

import asyncio
import ssl
import subprocess

import httpx
import pytest

from finetune_app.providers import guard

ASK = [{"role": "user", "content": "Hello"}]
PUBLIC = "93.184.216.34"
INSIDE = ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "::ffff:a00:1"]


def checked(text: str) -> str:
    url = guard.read_address(text)
    guard.check(url, private=False)
    return str(url)


@pytest.mark.parametrize(
    "address",
    [
        "https://127.0.0.1/v1",
        "https://localhost/v1",
        "https://api.localhost/v1",
        "https://10.0.0.8/",
        "https://192.168.1.1/",
        "https://172.16.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://100.64.0.1/",
        "https://0.0.0.0/",
        "https://224.0.0.1/",
        "https://255.255.255.255/",
        "https://[::1]/",
        "https://[::]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:a00:1]/",
        "https://[fe80::1]/",
        "https://[fe80::1%25eth0]/",
        "https://[fd00::1]/",
        "https://[fec0::1]/",
        "https://[ff02::1]/",
        "https://[2002:7f00:1::]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2001:0:7f00:1::]/",
        "https://[::7f00:1]/",
    ],
)
def test_private_addresses_are_rejected(address):
    with pytest.raises(guard.NotAllowed, match="on this machine or its network"):
        checked(address)


@pytest.mark.parametrize(
    "address",
    [
        "https://0x7f000001/",
        "https://0x7f.0.0.1/",
        "https://2130706433/",
        "https://127.1/",
        "https://0177.0.0.1/",
        "https://1.2.3.4.5/",
        "https://example.0x10/",
        "https://１２７.0.0.1/",
    ],
)
def test_unusual_number_formats_are_rejected(address):
    with pytest.raises(guard.NotAllowed):
        checked(address)


@pytest.mark.parametrize(
    "address",
    [
        "http://a@b/",
        "https://api.example.com@evil.example/",
        "https://user:pass@api.example.com",
        "https://api.example.com\\@evil.example/",
        "ftp://api.example.com/",
        "file:///etc/passwd",
        "gopher://x/",
        "//api.example.com",
        "api.example.com/v1",
        "https://",
        "https:///v1",
        "",
        "javascript:alert(1)",
        "https://a b/",
        "https://a\r\nHost: b/",
        "https://a..b/",
        "https://x:99999/",
        "https://x:0/",
        "https://api.example.com/?key=1",
        "https://api.example.com/#x",
        "https://api.example.com/?",
        "https://a\x00b/",
    ],
)
def test_invalid_addresses_are_rejected(address):
    with pytest.raises(guard.NotAllowed):
        checked(address)


def test_plain_http_is_for_allowed_hosts_only():
    with pytest.raises(guard.NotAllowed, match="https"):
        checked("http://api.example.com/v1")
    url = guard.read_address("http://gpu-box.lan:8000/v1")
    assert guard.host_and_port(url) == "gpu-box.lan:8000"
    guard.check(url, private=True)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://api.example.com/v1/", "https://api.example.com/v1"),
        ("https://api.example.com/v1/chat/completions", "https://api.example.com/v1"),
        (" https://API.example.com ", "https://api.example.com/"),
        ("https://bücher.example/v1", "https://xn--bcher-kva.example/v1"),
        ("https://8.8.8.8:8443/x", "https://8.8.8.8:8443/x"),
        ("https://[2606:4700::1111]/v1", "https://[2606:4700::1111]/v1"),
    ],
)
def test_valid_addresses_are_normalised(given, kept):
    assert checked(given) == kept


# ---- On connection ----


class Recorder(httpx.AsyncBaseTransport):
    def __init__(self, unreachable: tuple[str, ...] = ()) -> None:
        self.asked: list[httpx.Request] = []
        self.unreachable = unreachable

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if request.url.host in self.unreachable:
            raise httpx.ConnectError("no way there")
        return httpx.Response(200, text="hello")


def ask(monkeypatch, answers: list[list[str]], *, private=False, unreachable=(), url=""):
    """Send one request to a name that resolves to these addresses, lookup by lookup."""
    looked_up = iter(answers)

    async def resolve(host: str, port: int) -> list[str]:
        return next(looked_up)

    monkeypatch.setattr(guard, "resolve", resolve)
    transport = guard.GuardedTransport(private=private)
    transport.inner = recorder = Recorder(unreachable)

    async def go() -> None:
        async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
            await client.get(url or "https://api.example.com:8443/v1")

    return recorder, go


def test_it_connects_to_the_checked_address(monkeypatch):
    """DNS rebinding has no effect, because the name is resolved once."""
    recorder, go = ask(monkeypatch, [[PUBLIC], ["127.0.0.1"]])
    asyncio.run(go())
    (request,) = recorder.asked
    assert str(request.url) == f"https://{PUBLIC}:8443/v1"
    assert request.headers["Host"] == "api.example.com:8443"
    assert request.extensions["sni_hostname"] == "api.example.com"


@pytest.mark.parametrize("inside", INSIDE)
@pytest.mark.parametrize("beside", [[], [PUBLIC]])
def test_a_name_with_one_private_address_is_rejected(monkeypatch, inside, beside):
    recorder, go = ask(monkeypatch, [[*beside, inside]])
    with pytest.raises(guard.NotAllowed):
        asyncio.run(go())
    assert recorder.asked == []


def test_the_next_address_is_tried_if_one_is_unreachable(monkeypatch):
    recorder, go = ask(monkeypatch, [["2606:4700::1111", PUBLIC]], unreachable=("2606:4700::1111",))
    asyncio.run(go())
    assert [request.url.host for request in recorder.asked] == ["2606:4700::1111", PUBLIC]


def test_each_request_is_checked_again(monkeypatch):
    recorder, go = ask(monkeypatch, [["127.0.0.1"]], url="http://127.0.0.1:6379/")
    with pytest.raises(guard.NotAllowed):
        asyncio.run(go())
    assert recorder.asked == []


def test_a_real_lookup_of_this_machine_is_rejected():
    async def go() -> None:
        async with httpx.AsyncClient(transport=guard.GuardedTransport(private=False)) as client:
            await client.get("https://localhost.:443/")

    with pytest.raises(guard.NotAllowed):
        asyncio.run(go())
    assert "127.0.0.1" in asyncio.run(guard.resolve("localhost", 80))


def test_the_certificate_is_checked_against_the_name(monkeypatch, tmp_path):
    """The connection goes to an address, but TLS verifies the name."""
    authority, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-keyout",
            key,
            "-out",
            authority,
            "-subj",
            "/CN=box.example",
            "-addext",
            "subjectAltName=DNS:box.example",
        ],
        capture_output=True,
    )
    if made.returncode:
        pytest.skip("no openssl here")

    async def here(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    monkeypatch.setattr(guard, "resolve", here)
    trusted = ssl.create_default_context(cafile=str(authority))
    monkeypatch.setattr(guard, "_certificates", lambda: trusted)
    asked_for: list[str | None] = []

    async def get(host: str, port: int) -> int:
        async with httpx.AsyncClient(transport=guard.GuardedTransport(private=True)) as client:
            return (await client.get(f"https://{host}:{port}/")).status_code

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async def go() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority, key)
        context.sni_callback = lambda _socket, name, _context: asked_for.append(name)
        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        async with server:
            assert await get("box.example", port) == 200
            with pytest.raises(httpx.ConnectError, match=r"(?i)certificate"):
                await get("other.example", port)

    asyncio.run(go())
    assert asked_for == ["box.example", "other.example"]
