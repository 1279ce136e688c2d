"""A far side over real TLS: an authority made for the test, a server it vouches for, a proxy that tunnels to it."""

from __future__ import annotations

import contextlib
import ipaddress
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

HERE = "127.0.0.1"
FAR = 60.0
"""Seconds after which whatever has not come never will."""


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


class Authority:
    """A private certificate authority; ``pem`` is the file it would be known by."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._called = folder, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        made = self._builder(name, self._key, timedelta(days=1))
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.pem = folder / f"{name}.pem"
        self.pem.write_bytes(_pem(made.sign(self._key, hashes.SHA256())))

    def _builder(self, subject: str, key: ec.EllipticCurvePrivateKey, lasts: timedelta) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(_name(subject))
            .issuer_name(_name(self._called))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=2))
            .not_valid_after(now + lasts)
        )

    def vouch(self, host: str, lasts: timedelta = timedelta(days=1)) -> ssl.SSLContext:
        """Return what a server needs to be ``host``, until ``lasts`` from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._builder(host, key, lasts)
        made = made.add_extension(x509.SubjectAlternativeName([_host(host)]), critical=False)
        file = self._folder / f"{self._called}-server.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file.write_bytes(private + _pem(made.sign(self._key, hashes.SHA256())))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


@dataclass
class FarSide:
    """Where it is, and what it was asked: path and headers of each request."""

    url: str
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)


@contextmanager
def https(context: ssl.SSLContext, body: bytes, kind: str = "application/json", drip: float = 0.0) -> Iterator[FarSide]:
    """Serve ``body`` for every path; with ``drip``, a byte every so many seconds."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            far.asked.append((self.path, dict(self.headers)))
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            for at in range(0, len(body), 1 if drip else len(body)):
                over.wait(drip)
                with contextlib.suppress(OSError):
                    self.wfile.write(body[at : at + 1] if drip else body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((HERE, 0), Handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    far = FarSide(f"https://{HERE}:{server.server_port}")
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.05))
    thread.start()
    try:
        yield far
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def proxy(answer: str = "200 Connection established") -> Iterator[FarSide]:
    """A proxy that knows ``CONNECT`` alone; another ``answer`` than 200 refuses everyone."""
    listener = socket.create_server((HERE, 0))
    far = FarSide(f"http://{HERE}:{listener.getsockname()[1]}")

    def carry(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.settimeout(FAR)
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                if not (read := client.recv(1)):
                    return
                head += read
            first, *rest = head.decode("ascii").strip().split("\r\n")
            method, target, _ = first.split(" ")
            far.asked.append((f"{method} {target}", dict(line.split(": ", 1) for line in rest)))
            client.sendall(f"HTTP/1.1 {answer}\r\n\r\n".encode())
            host, _, port = target.partition(":")
            if not answer.startswith("200"):
                return
            with socket.create_connection((host, int(port))) as server:
                while readable := select.select([client, server], [], [], FAR)[0]:
                    for one in readable:
                        given = one.recv(65536)
                        if not given:
                            return
                        (server if one is client else client).sendall(given)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=carry, args=(listener.accept()[0],), daemon=True).start()

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield far
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
