"""An HTTP/3 client on aioquic: PORT PATH CA. Each line "NUMBER SECONDS" of its input is so many requests, within so long.

Says "answered NUMBER" when all of them were whole 200s of 1 KiB, else what was wrong, and ends.
"""

import asyncio
import contextlib
import sys

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated

CONNECTIONS = 16
STREAMS = 8
LENGTH = 1 << 10


class Client(QuicConnectionProtocol):
    """One connection; counts what comes for each request."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.http = H3Connection(self._quic)
        self.open: dict[int, asyncio.Future] = {}
        self.came: dict[int, list] = {}

    async def exchange(self, head: list[tuple[bytes, bytes]]) -> None:
        stream = self._quic.get_next_available_stream_id()
        self.open[stream] = asyncio.get_running_loop().create_future()
        self.came[stream] = [b"", 0]
        self.http.send_headers(stream, head, end_stream=True)
        self.transmit()
        await self.open[stream]

    def quic_event_received(self, event) -> None:
        if isinstance(event, ConnectionTerminated):
            for waiting in self.open.values():
                waiting.done() or waiting.set_exception(OSError(f"closed: {event.error_code} {event.reason_phrase}"))
        for told in self.http.handle_event(event):
            stream = getattr(told, "stream_id", None)
            if stream not in self.open:
                continue
            if isinstance(told, HeadersReceived):
                self.came[stream][0] = dict(told.headers).get(b":status", self.came[stream][0])
            if isinstance(told, DataReceived):
                self.came[stream][1] += len(told.data)
            if getattr(told, "stream_ended", False):
                self.finish(stream)

    def finish(self, stream: int) -> None:
        waiting, came = self.open.pop(stream), self.came.pop(stream)
        if came == [b"200", LENGTH]:
            waiting.set_result(None)
        else:
            waiting.set_exception(OSError(f"status and bytes: {came}"))


async def main(port: str, path: str, authority: str) -> None:
    head = [
        (b":method", b"GET"), (b":scheme", b"https"), (b":authority", f"127.0.0.1:{port}".encode()),
        (b":path", path.encode()),
    ]
    setting = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, cafile=authority, server_name="127.0.0.1")
    async with contextlib.AsyncExitStack() as kept:
        clients = []
        for _ in range(CONNECTIONS):
            opened = connect("127.0.0.1", int(port), configuration=setting, create_protocol=Client)
            clients.append(await kept.enter_async_context(opened))
        while line := await asyncio.to_thread(sys.stdin.readline):
            number, seconds = map(int, line.split())
            await asyncio.wait_for(spread(clients, head, number), seconds)
            print(f"answered {number}", flush=True)


async def spread(clients: list[Client], head: list[tuple[bytes, bytes]], number: int) -> None:
    """So many requests, over all connections, on each some at once."""
    left = iter(range(number))

    async def lane(client: Client) -> None:
        for _ in left:
            await client.exchange(head)

    await asyncio.gather(*(lane(client) for client in clients for _ in range(STREAMS)))


try:
    asyncio.run(main(*sys.argv[1:]))
except Exception as error:  # whatever it is, it is this run's answer
    print(f"{type(error).__name__}: {error}", flush=True)
    sys.exit(1)
