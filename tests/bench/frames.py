"""A small HTTP/2 client for connections that are used one request at a time: no Huffman code, no table of its own."""

import ssl
import struct

from load import PATIENCE, connected
from machine import Failed

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY, WINDOW_UPDATE = 0x0, 0x1, 0x3, 0x4, 0x7, 0x8
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1

# SETTINGS_HEADER_TABLE_SIZE 0 (RFC 7541, section 4.2): fields then come without a table to remember.
NO_TABLE = struct.pack(">HI", 0x1, 0)


class Connections:
    """A number of kept connections, each with one request at a time."""

    def __init__(self, port: int, number: int, path: str, context: ssl.SSLContext | None):
        self.each = [Connection(port, path, context) for _ in range(number)]

    def __enter__(self) -> "Connections":
        return self

    def __exit__(self, *_: object) -> None:
        for each in self.each:
            each.stream.close()

    def one_by_one(self) -> list[bytes]:
        """The bodies of one request on each connection, never two at once."""
        return [each.exchange() for each in self.each]


class Connection:
    """One connection, from its preface on."""

    def __init__(self, port: int, path: str, context: ssl.SSLContext | None):
        self.stream = connected(port, context, PATIENCE)
        # :method GET, :scheme http or https by the static table (RFC 7541, appendix A).
        head = bytes([0x82, 0x87 if context else 0x86])
        self.request = head + literal(4, path.encode()) + literal(1, f"127.0.0.1:{port}".encode())
        self.next, self.early = 1, b""
        self.stream.sendall(PREFACE + frame(SETTINGS, 0, 0, NO_TABLE))

    def exchange(self) -> bytes:
        """The body of one answer. Raises Failed unless it is a whole 200."""
        mine, self.next = self.next, self.next + 2
        body, status = b"", b""
        try:
            self.stream.sendall(frame(HEADERS, END_STREAM | END_HEADERS, mine, self.request))
            while True:
                kind, flags, stream, payload = self.read()
                if kind in (GOAWAY, RST_STREAM):
                    raise Failed(f"the connection or stream was ended: frame {kind}, {payload[:60]!r}")
                if kind == SETTINGS and not flags & ACK:
                    self.stream.sendall(frame(SETTINGS, ACK, 0, b""))
                if stream != mine:
                    continue
                if kind == HEADERS:
                    status = status or payload.lstrip(bytes(range(0x20, 0x40)))[:1]
                if kind == DATA and payload:
                    body += payload
                    self.stream.sendall(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", len(payload))))
                if kind in (HEADERS, DATA) and flags & END_STREAM:
                    break
        except OSError as error:
            raise Failed(f"no answer: {error}") from error
        # 0x88 is `:status: 200` by the static table; what may come before it changes the size of the table.
        if status != b"\x88":
            raise Failed(f"not a 200: the head begins with {status!r}")
        return body

    def read(self) -> tuple[int, int, int, bytes]:
        head = self.exactly(9)
        length = int.from_bytes(head[:3], "big")
        return head[3], head[4], int.from_bytes(head[5:], "big") & 0x7FFFFFFF, self.exactly(length)

    def exactly(self, length: int) -> bytes:
        while len(self.early) < length:
            some = self.stream.recv(1 << 18)
            if not some:
                raise Failed("the connection was closed before its answer was whole")
            self.early += some
        found, self.early = self.early[:length], self.early[length:]
        return found


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(index: int, value: bytes) -> bytes:
    """A field whose name the static table has, not to be remembered; values here are shorter than 127 bytes."""
    return bytes([index, len(value)]) + value
