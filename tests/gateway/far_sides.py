"""Far sides for tests of the transport: on this machine, well-behaved or not, with certificates of their own."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from adapters.contract import Call, Reply, Session
from gateway.far_side import FarSide
from gateway.transport import FarTransport

HERE = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
PATIENCE = 30.0

Script = Callable[[socket.socket, bytes], None]


class Scripted:
    """A server that answers each request by its script: the socket, and the bytes of the request's head and body."""

    def __init__(self, script: Script, context: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.requests: list[bytes] = []
        self.connections = 0
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(sock)
            threading.Thread(target=self._talk, args=(sock,), daemon=True).start()

    def _talk(self, sock: socket.socket) -> None:
        # OSError: whoever called has gone, or the test is over.
        with suppress(OSError), sock:
            if self._context:
                sock = self._context.wrap_socket(sock, server_side=True)
            with sock:
                while request := read_request(sock):
                    self.requests.append(request)
                    self.script(sock, request)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._open:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def read_request(sock: socket.socket) -> bytes:
    """Head and body; empty when the caller has gone."""
    got = b""
    while b"\r\n\r\n" not in got:
        piece = sock.recv(65536)
        if not piece:
            return b""
        got += piece
    head, _, body = got.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    while len(body) < length:
        body += sock.recv(65536)
    return head + b"\r\n\r\n" + body


@contextmanager
def serving(script: Script, context: ssl.SSLContext | None = None) -> Iterator[Scripted]:
    server = Scripted(script, context)
    try:
        yield server
    finally:
        server.close()


def says(answer: bytes, close: bool = False) -> Script:
    """Sends these bytes, then closes or waits for the next request."""

    def script(sock: socket.socket, request: bytes) -> None:
        sock.sendall(answer)
        if close:
            sock.shutdown(socket.SHUT_RDWR)

    return script


def in_turn(*scripts: Script) -> Script:
    """A script for each request; the last for all that follow."""
    left = list(scripts)

    def script(sock: socket.socket, request: bytes) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(sock, request)

    return script


def resets(sock: socket.socket, request: bytes) -> None:
    """Breaks the line at once, with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    sock.close()


def endless(first: bytes, piece: bytes, pause: float = 0.0) -> Script:
    """Begins to answer and does not stop before the caller has gone."""

    def script(sock: socket.socket, request: bytes) -> None:
        sock.sendall(first)
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            sock.sendall(piece)
            time.sleep(pause)

    return script


def ok(body: bytes = b"ok", *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def far_side(port: int, scheme: str = "http", host: str = "127.0.0.1", base: str = "/base", **settings: Any) -> FarSide:
    """This machine as a far side, with little patience and one try."""
    given = {"inner_addresses": HERE, "tries": 1, "total_seconds": 10, "read_seconds": 5, "connect_seconds": 5}
    return FarSide(f"{scheme}://{host}:{port}{base}", **{**given, **settings})


def call(settings: FarSide, what: Call, session: Session | None = None, seconds: float = PATIENCE) -> Reply:
    """One call over a transport of its own."""
    transport = FarTransport(settings, "bistro")
    try:
        return transport.call(what, session, time.monotonic() + seconds)
    finally:
        transport.close()


def answer_of(found: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Makes a resolver of it, whose names answer with the next list of addresses; what was looked up."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        try:
            addresses = [str(ip_address(host))]
        except ValueError:
            addresses = found.get(host, [])
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
        kind = socket.SOCK_STREAM
        return [(family, kind, 6, "", (address, port)) for family, address in zip(families, addresses, strict=True)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


# Certificates -----------------------------------------------------------------------------------------------------


class Authority:
    """A certification authority and the files of those that it vouches for."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"Test CA {folder.name}")])
        own = self._builder(self._name, self._key.public_key(), 30)
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.file = self._written("ca.pem", own.sign(self._key, hashes.SHA256()))

    def issue(self, *names: str, days: int = 30) -> tuple[str, str]:
        """The files of a certificate for these names and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
        san = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        signed = self._builder(subject, key.public_key(), days).add_extension(san, critical=False)
        certificate = self._written(f"{names[0]}{days}.pem", signed.sign(self._key, hashes.SHA256()))
        secret = self._folder / f"{names[0]}{days}.key"
        kinds = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        secret.write_bytes(key.private_bytes(*kinds))
        return certificate, str(secret)

    def _builder(self, subject: x509.Name, key: Any, days: int) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=60))
            .not_valid_after(now + timedelta(days=days))
        )

    def _written(self, name: str, certificate: x509.Certificate) -> str:
        path = self._folder / name
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return str(path)


def server_context(certificate: tuple[str, str], clients: Authority | None = None) -> ssl.SSLContext:
    """TLS for a server; with ``clients`` only for callers that the authority vouches for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    if clients:
        context.load_verify_locations(clients.file)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def trusting(authority: Authority, client: tuple[str, str] | None = None) -> dict[str, str]:
    """Settings of a link that trusts the authority, and shows a certificate of its own."""
    certificate, key = client or ("", "")
    return {"ca_file": authority.file, "client_cert": certificate, "client_key": key}
