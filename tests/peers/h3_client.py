"""A client of HTTP/3: `h3_client.py PORT CA DEED [ARGUMENT]`, where the deed is the name of a function below.

Fails with the first thing that is not as it has to be; else says `all well`, with what was measured.
"""

import asyncio
import ssl
import sys
import time

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, StreamReset

PATIENCE = 110


def check(what, found, expected):
    if found != expected:
        sys.exit(f"{what}: {found!r}, not {expected!r}")


class Answer:
    def __init__(self, keep):
        self.heads, self.length, self.pieces, self.keep = [], 0, [], keep
        self.done = asyncio.get_running_loop().create_future()
        self.moving = asyncio.Event()

    @property
    def status(self):
        return int(dict(self.heads[0])[b":status"])

    @property
    def body(self):
        return b"".join(self.pieces)


class Client(QuicConnectionProtocol):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.http = H3Connection(self._quic)
        self.answers = {}
        self.handshake = None

    def start(self, method, path, body=None, keep=True):
        stream = self._quic.get_next_available_stream_id()
        self.answers[stream] = answer = Answer(keep)
        head = {":method": method, ":scheme": "https", ":authority": "any.example", ":path": path, "user-agent": "peer"}
        self.http.send_headers(stream, [(k.encode(), v.encode()) for k, v in head.items()], end_stream=body is None)
        if body is not None:
            self.http.send_data(stream, body, end_stream=True)
        self.transmit()
        return answer

    async def ask(self, *arguments, **options):
        answer = self.start(*arguments, **options)
        await asyncio.wait_for(answer.done, PATIENCE)
        return answer

    def quic_event_received(self, event):
        if isinstance(event, HandshakeCompleted):
            self.handshake = event
        if isinstance(event, ConnectionTerminated):
            self.fail(f"the connection was ended: {event.error_code:#x} {event.reason_phrase}")
        if isinstance(event, StreamReset) and event.stream_id in self.answers:
            self.fail(f"a stream was reset: {event.error_code:#x}")
        for event in self.http.handle_event(event):
            answer = self.answers.get(event.stream_id)
            if isinstance(event, HeadersReceived):
                answer.heads.append(event.headers)
            elif isinstance(event, DataReceived):
                answer.length += len(event.data)
                if answer.length > 1 << 20:
                    answer.moving.set()
                if answer.keep:
                    answer.pieces.append(event.data)
            if event.stream_ended and not answer.done.done():
                answer.done.set_result(None)

    def fail(self, why):
        for answer in self.answers.values():
            if not answer.done.done():
                answer.done.set_exception(Exception(why))


def settings(ca, **options):
    return QuicConfiguration(alpn_protocols=H3_ALPN, server_name="any.example", cafile=ca, max_data=32 << 20,
                             max_stream_data=32 << 20, **options)


def open_to(port, ca, configuration=None, **options):
    return connect("127.0.0.1", port, configuration=configuration or settings(ca), create_protocol=Client, **options)


async def requests(port, ca):
    """One after the other, many at once, uploads."""
    async with open_to(port, ca) as client:
        answer = await client.ask("GET", "/plain?a=1")
        check("status", (answer.status, client.handshake.alpn_protocol), (200, "h3"))
        check("target", b'"target":"/plain?a=1"' in answer.body, True)
        answers = await asyncio.gather(*(client.ask("POST", f"/{n}", b"body %d" % n) for n in range(100)))
        for number, answer in enumerate(answers):
            check("one of many", b'"body":"body %d"' % number in answer.body, True)
        answer = await client.ask("POST", "/sink", bytes(3 << 20))
        check("an upload", answer.body, b"%d" % (3 << 20))
        answer = await client.ask("GET", "/trailers")
        check("a body", answer.body, b"one two")
        check("nothing", (await client.ask("GET", "/nothing")).status, 204)
        check("retries", client._quic._retry_count, 0)


async def transfer(port, ca):
    """A hundred mebibytes."""
    async with open_to(port, ca) as client:
        begun = time.monotonic()
        answer = await client.ask("GET", "/large", keep=False)
        check("length", answer.length, 100 << 20)
        print(f"{100 / (time.monotonic() - begun):.1f} MiB/s", end=", ")


async def migration(port, ca):
    """The client's address changes in the middle of an answer, twice: once as by a NAT, once as by a walk."""
    async with open_to(port, ca) as client:
        answer = client.start("GET", "/medium", keep=False)
        for walks in (False, True):
            answer.moving.clear()
            await asyncio.wait_for(answer.moving.wait(), PATIENCE)
            before = client._transport.get_extra_info("sockname")
            client._transport.close()
            await asyncio.get_running_loop().create_datagram_endpoint(lambda: client, local_addr=("::", 0))
            check("another port", client._transport.get_extra_info("sockname") != before, True)
            if walks:
                client.change_connection_id()
            await asyncio.wait_for(client.ping(), PATIENCE)
        await asyncio.wait_for(answer.done, PATIENCE)
        check("length", answer.length, 16 << 20)
        check("afterwards", (await client.ask("GET", "/after")).status, 200)


async def early(port, ca, expected):
    """A resumed connection that begins with a request: whether that is taken early is told to the client."""
    tickets = []
    async with open_to(port, ca, session_ticket_handler=tickets.append) as client:
        check("first", (await client.ask("GET", "/first")).status, 200)
        check("not resumed", client.handshake.session_resumed, False)
        until = time.monotonic() + PATIENCE
        while not tickets and time.monotonic() < until:
            await client.ping()
    check("tickets", bool(tickets), True)
    is_taken = expected == "taken"
    check("what the ticket allows", bool(tickets[0].max_early_data_size), is_taken)
    # A client that does not care for that.
    tickets[0].max_early_data_size = 0xFFFFFFFF
    async with open_to(port, ca, settings(ca, session_ticket=tickets[0]), wait_connected=False) as client:
        answer = client.start("GET", "/early")
        await asyncio.wait_for(client.wait_connected(), PATIENCE)
        check("resumed", client.handshake.session_resumed, True)
        check("taken early", client.handshake.early_data_accepted, is_taken)
        await asyncio.wait_for(answer.done, PATIENCE)
        check("answered", answer.status, 200)


async def retry(port, ca):
    """The client has to show that its address is its own."""
    async with open_to(port, ca) as client:
        check("status", (await client.ask("GET", "/retried")).status, 200)
        check("retries", client._quic._retry_count, 1)


async def versions(port, ca):
    """A version that nobody speaks is answered with those that are."""
    configuration = settings(ca, supported_versions=[0x1A2A3A4A, 1], original_version=0x1A2A3A4A)
    async with open_to(port, ca, configuration) as client:
        check("status", (await client.ask("GET", "/negotiated")).status, 200)


async def stranger(port, ca):
    """Who asks for a site without a certificate is turned away."""
    configuration = settings(ca)
    configuration.server_name, configuration.verify_mode = "other.example", ssl.CERT_NONE
    try:
        async with open_to(port, ca, configuration):
            sys.exit("it was let in")
    except ConnectionError:
        pass


port, ca, deed, *rest = sys.argv[1:]
asyncio.run(asyncio.wait_for(globals()[deed](int(port), ca, *rest), PATIENCE))
print("all well")
