"""The doors that requests come in by: HTTP/1 and HTTP/2, each in the clear and over TLS, and HTTP/3.

What each system's config says for a door, and the certificate that all of them show: ECDSA P-256, TLS 1.3 alone. Which
suite is used is the client's choice everywhere; for OpenSSL's clients that is AES-256-GCM.
"""

import dataclasses
import pathlib
import ssl
import subprocess

import machine
import tools


@dataclasses.dataclass(frozen=True)
class Door:
    """`name` is for tables, `file` for names of files."""

    name: str
    file: str
    http: int = 1
    secure: bool = False

    @property
    def scheme(self) -> str:
        return "https" if self.secure else "http"


CLEAR = Door("HTTP/1.1", "h1")
TLS = Door("HTTP/1.1 over TLS", "h1-tls", secure=True)
H2 = Door("HTTP/2 in the clear", "h2", http=2)
H2_TLS = Door("HTTP/2 over TLS", "h2-tls", http=2, secure=True)
H3 = Door("HTTP/3", "h3", http=3, secure=True)

# The same three behind every door; HTTP/3 is in neither Debian's nginx 1.22 nor a HAProxy that is built without QUIC.
SYSTEMS = ["haproxy", "nginx", "weir"]


def certificate(place: pathlib.Path) -> None:
    """Makes door.pem, door.key and, as HAProxy wants it, both in door-both.pem."""
    chain, key = place / "door.pem", place / "door.key"
    command = [
        tools.find("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-days", "2", "-subj", "/CN=bench", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key),
        "-out", str(chain),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if ran.returncode != 0:
        raise machine.Unfit(f"openssl made no certificate: {ran.stderr.strip()[-200:]}")
    (place / "door-both.pem").write_text(chain.read_text() + key.read_text())


def context(place: pathlib.Path, door: Door) -> ssl.SSLContext | None:
    """What a client needs to come in by this door; None without TLS."""
    if not door.secure:
        return None
    made = ssl.create_default_context(cafile=str(place / "door.pem"))
    made.set_alpn_protocols(["h2" if door.http == 2 else "http/1.1"])
    return made


def weir(place: pathlib.Path, door: Door) -> str:
    # In the clear the default has both versions. HTTP/1 stays beside HTTP/3 to see that the listener works.
    if not door.secure:
        return ""
    spoken = {1: '"h1"', 2: '"h2"', 3: '"h1", "h3"'}[door.http]
    files = f'{{ chain = "{place}/door.pem", key = "{place}/door.key" }}'
    return f'protocols = [{spoken}]\ntls = {{ certificate = {files}, min-version = "1.3" }}'


def nginx(place: pathlib.Path, door: Door) -> tuple[str, str]:
    """Flags of `listen`, and what stands beside it."""
    flags = (" ssl" if door.secure else "") + (" http2" if door.http == 2 else "")
    if not door.secure:
        return flags, ""
    return flags, f"ssl_certificate {place}/door.pem; ssl_certificate_key {place}/door.key; ssl_protocols TLSv1.3;"


def haproxy(place: pathlib.Path, door: Door) -> str:
    """Flags of `bind`."""
    if not door.secure:
        return " proto h2" if door.http == 2 else ""
    spoken = "h2" if door.http == 2 else "http/1.1"
    return f" ssl crt {place}/door-both.pem alpn {spoken} ssl-min-ver TLSv1.3"
