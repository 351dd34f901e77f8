"""A server in the manner of the API of Kubernetes: Jobs of one namespace, over TLS.

It refuses what the published schema does not allow, other tokens than the one of the service
account, and what the role of deploy/kubernetes/cluster does not allow.
"""

import json
import ssl
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kubernetes_validate
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import settings

VERSION = "1.34"
FOLDER = "/apis/batch/v1/namespaces/finetune/jobs"
ACCOUNT = settings.BASE_DIR / "deploy/kubernetes/cluster/account.yaml"


class KubernetesApi:
    """`jobs` by their names, as a test may change them; `account` is what a pod would have."""

    def __init__(self, account: Path) -> None:
        self.account = account
        self.jobs: dict[str, dict[str, Any]] = {}
        self.deleted: list[str] = []
        self.status = 0  # answers with this one, once it is set
        self.loses_answers = False  # does what it is asked to, and says nothing
        self.token = "of a test"
        account.mkdir()
        (account / "token").write_text(self.token)
        (account / "namespace").write_text("finetune\n")
        certificate = _certificate(account)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def end(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                token = self.headers.get("Authorization", "")
                code, content = api.handle(self.command, urlsplit(self.path), token, body)
                if api.loses_answers:
                    return
                content = json.dumps(content).encode()
                self.send_response(code)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_DELETE = answer

            def log_message(self, *_args: Any) -> None:
                pass

        return Handler

    def handle(self, method: str, url: Any, token: str, body: Any) -> tuple[int, dict[str, Any]]:
        if self.status:
            return self.status, {"message": "the API server is not ready"}
        if token != f"Bearer {self.token}":
            return 401, {"message": "Unauthorized"}
        verb = {"POST": "create", "GET": "list", "DELETE": "delete"}[method]
        if not url.path.startswith(FOLDER) or verb not in _verbs():
            return 403, {"message": f"{method} {url.path} is forbidden"}
        given, name = parse_qs(url.query), url.path.removeprefix(FOLDER).lstrip("/")
        if method == "POST":
            return self._create(body)
        if method == "DELETE":
            return self._delete(name, given)
        [(key, value)] = [one.split("=") for one in given["labelSelector"]]
        labelled = [
            job for job in self.jobs.values() if job["metadata"]["labels"].get(key) == value
        ]
        return 200, {"kind": "JobList", "items": labelled}

    def _create(self, job: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        try:
            kubernetes_validate.validate(job, VERSION, strict=True)
        except kubernetes_validate.ValidationError as error:
            return 422, {"message": error.message}
        name = job["metadata"]["name"]
        if name in self.jobs:
            return 409, {"message": f'jobs.batch "{name}" already exists'}
        self.jobs[name] = job
        return 201, job

    def _delete(self, name: str, given: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        if name not in self.jobs:
            return 404, {"message": f'jobs.batch "{name}" not found'}
        assert given["propagationPolicy"] == ["Background"]  # else its pod would stay
        del self.jobs[name]
        self.deleted.append(name)
        return 200, {"kind": "Status"}


def _verbs() -> list[str]:
    [role] = [one for one in yaml.safe_load_all(ACCOUNT.read_text()) if one["kind"] == "Role"]
    return role["rules"][0]["verbs"]


def _certificate(folder: Path) -> tuple[Path, Path]:
    """For 127.0.0.1, signed by itself; ca.crt is where a pod finds whom to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kubernetes")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
    here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    builder = builder.add_extension(here, critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    file, key_file = folder / "ca.crt", folder / "key"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return file, key_file
