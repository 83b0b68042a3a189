"""Does to a port under TLS what no client should: `tls_abuse.py PORT CA`. Says `all ended` when each connection came to an end."""

import os
import socket
import ssl
import struct
import sys

PATIENCE = 15


def connect(port):
    stream = socket.create_connection(("127.0.0.1", port), PATIENCE)
    stream.settimeout(PATIENCE)
    return stream


def ends(name, stream):
    """Reads to the end, which has to come."""
    try:
        while stream.recv(65536):
            pass
    except socket.timeout:
        sys.exit(f"{name}: the connection was not ended")
    except OSError:
        pass
    finally:
        stream.close()


class Shaking:
    """A client whose bytes pass through our hands."""

    def __init__(self, port, ca, minimum=ssl.TLSVersion.TLSv1_2, maximum=ssl.TLSVersion.TLSv1_3, alpn=("http/1.1",)):
        context = ssl.create_default_context(cafile=ca)
        context.minimum_version, context.maximum_version = minimum, maximum
        context.set_alpn_protocols(list(alpn))
        self.stream = connect(port)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="any.example")

    def hello(self):
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return self.outgoing.read()

    def shake(self, cut=None):
        """To its end, in pieces of this many bytes."""
        while True:
            try:
                self.tls.do_handshake()
                return self.flush(cut)
            except ssl.SSLWantReadError:
                self.flush(cut)
                self.more()

    def flush(self, cut=None):
        data = self.outgoing.read()
        for at in range(0, len(data), cut or max(len(data), 1)):
            self.stream.sendall(data[at:at + (cut or len(data))])

    def more(self):
        data = self.stream.recv(65536)
        if not data:
            sys.exit("the server ended a handshake that was in order")
        self.incoming.write(data)

    def ask(self):
        self.tls.write(b"GET /abuse HTTP/1.1\r\nHost: any.example\r\nConnection: close\r\n\r\n")
        self.flush(7)
        while True:
            try:
                return self.tls.read(65536)
            except ssl.SSLWantReadError:
                self.more()


def record(kind, payload, version=0x0303):
    return struct.pack("!BHH", kind, version, len(payload)) + payload


def main(port, ca):
    hello = Shaking(port, ca).hello()
    before = {
        "random bytes that begin like a handshake": b"\x16" + os.urandom(3000),
        "a record longer than any may be": struct.pack("!BHH", 22, 0x0301, 0xFFFF) + os.urandom(70000),
        "an empty handshake record, many times": record(22, b"", 0x0301) * 5000,
        "alerts, many times": record(22, b"\x01\0\0\1", 0x0301) + record(21, b"\x01\0") * 5000,
        "data before the handshake": hello[:5] + hello[5:40] + record(23, os.urandom(100)),
        "a hello that was tampered with": hello[:44] + os.urandom(len(hello) - 44),
        "two hellos": hello + hello,
        "a hello of sixteen megabytes": record(22, b"\x01\xff\xff\xff" + b"\x03\x03" + bytes(16000)) * 4,
        "half a hello and an end": hello[:100],
    }
    for name, data in before.items():
        stream = connect(port)
        try:
            stream.sendall(data)
            stream.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        ends(name, stream)

    for name, after in {
        "a record that is not encrypted": record(22, hello[5:200]),
        "a record of random bytes": record(23, os.urandom(200)),
        "a record that is too long": record(23, os.urandom(20000)),
        "no record": os.urandom(500),
    }.items():
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            client = Shaking(port, ca, version, version)
            client.shake()
            try:
                client.stream.sendall(after)
            except OSError:
                pass
            ends(f"{name}, {version.name}", client.stream)

    # Slow, and in order: it has to be served.
    client = Shaking(port, ca)
    client.shake(cut=1)
    answer = client.ask()
    if not answer.startswith(b"HTTP/1.1 200"):
        sys.exit(f"a handshake byte by byte was not served: {answer[:100]}")
    client.stream.close()
    print("all ended")


main(int(sys.argv[1]), sys.argv[2])
