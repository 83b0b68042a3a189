"""Clients: wrk and h2load for time, and a slow exact one for where requests must be counted one by one."""

import re
import socket
import ssl
import subprocess

import tools
from machine import Failed

CONNECTIONS = 64

# HTTP/2: few connections with several requests at once, as browsers and gateways come; 128 requests in all.
H2_CONNECTIONS = 16
H2_STREAMS = 8

# Seconds for one answer. A machine that is busy with other things may take some; more is a fault.
PATIENCE = 20


def wrk(core: int, url: str, seconds: float) -> int:
    """Loads a URL over 64 kept connections; how many requests were answered.

    Raises Failed when one was not answered well.
    """
    pin = [tools.find("taskset"), "-c", str(core)]
    length = f"-d{max(1, round(seconds))}s"
    command = [*pin, tools.find("wrk"), "-t1", f"-c{CONNECTIONS}", length, "--timeout", f"{PATIENCE}s", url]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 2 * PATIENCE, check=False)
    except subprocess.TimeoutExpired as error:
        raise Failed("wrk did not end") from error
    counted = re.search(r"(\d+) requests in", ran.stdout)
    if counted is None or int(counted[1]) == 0:
        raise Failed(f"wrk had no answers: {(ran.stdout + ran.stderr).strip()[-200:]}")
    for bad in ("Non-2xx", "Socket errors"):
        if bad in ran.stdout:
            raise Failed(next(line.strip() for line in ran.stdout.splitlines() if bad in line))
    return int(counted[1])


def h2load(core: int, url: str, seconds: float = 0, requests: int = 0) -> int:
    """Loads a URL over HTTP/2, for so many seconds or so many requests; how many were answered.

    Raises Failed when one was not answered well.
    """
    pin = [tools.find("taskset"), "-c", str(core)]
    length = [f"-n{requests}"] if requests else [f"-D{max(1, round(seconds))}"]
    command = [*pin, tools.find("h2load"), "-t1", f"-c{H2_CONNECTIONS}", f"-m{H2_STREAMS}", *length, url]
    # Under valgrind a request takes milliseconds.
    patience = seconds + 2 * PATIENCE + requests / 20
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=patience, check=False)
    except subprocess.TimeoutExpired as error:
        raise Failed("h2load did not end") from error
    counted = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", ran.stdout)
    if counted is None:
        raise Failed(f"h2load counted nothing: {(ran.stdout + ran.stderr).strip()[-200:]}")
    # Answers that are neither 2xx nor 3xx are among the failed.
    if any(int(counted[bad]) for bad in (2, 3, 4)) or int(counted[1]) < max(1, requests):
        raise Failed(f"h2load: {counted[0]}")
    return int(counted[1])


class Connections:
    """A number of kept connections that are used in turns: a request on each, then the answer of each."""

    def __init__(self, port: int, number: int, path: str, context: ssl.SSLContext | None = None, patience: float = 60.0):
        self.request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        # One after the other, so that no server holds many unfinished handshakes.
        self.sockets = [connected(port, context, patience) for _ in range(number)]

    def __enter__(self) -> "Connections":
        return self

    def __exit__(self, *_: object) -> None:
        for each in self.sockets:
            each.close()

    def exchange(self, requests: int) -> None:
        """Raises Failed unless every answer is a whole 200."""
        done = 0
        while done < requests:
            turn = self.sockets[: requests - done]
            for each in turn:
                each.sendall(self.request)
            for each in turn:
                read_answer(each)
            done += len(turn)

    def one_by_one(self) -> list[bytes]:
        """The bodies of one request on each connection, never two at once."""
        bodies = []
        for each in self.sockets:
            each.sendall(self.request)
            bodies.append(read_answer(each))
        return bodies


def connected(port: int, context: ssl.SSLContext | None, patience: float) -> socket.socket:
    stream = socket.create_connection(("127.0.0.1", port), timeout=patience)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return stream if context is None else context.wrap_socket(stream, server_hostname="127.0.0.1")


def read_answer(stream: socket.socket) -> bytes:
    text = b""
    try:
        while b"\r\n\r\n" not in text:
            text += received(stream)
        head, _, body = text.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if not head.startswith(b"HTTP/1.1 200") or length is None:
            raise Failed(f"not a 200 with a length: {head[:60]!r}")
        while len(body) < int(length[1]):
            body += received(stream)
    except OSError as error:
        raise Failed(f"no answer: {error}") from error
    return body


def received(stream: socket.socket) -> bytes:
    some = stream.recv(1 << 18)
    if not some:
        raise Failed("the connection was closed before its answer was whole")
    return some
