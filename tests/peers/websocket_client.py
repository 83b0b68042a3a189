"""Talks to an echo through the gateway: `websocket_client.py PORT CA`, where CA is `-` without TLS. Says `all well`."""

import asyncio
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedOK, InvalidStatus

PATIENCE = 100


def check(what, found, expected):
    if found != expected:
        sys.exit(f"{what}: {found!r}, not {expected!r}")


async def main(port, ca):
    tls = None if ca == "-" else ssl.create_default_context(cafile=ca)
    scheme = "ws" if tls is None else "wss"
    options = {"ssl": tls, "max_size": 8 << 20, "host": "127.0.0.1", "port": port, "open_timeout": PATIENCE}
    async with connect(f"{scheme}://any.example:{port}/socket?a=1", **options) as socket:
        check("compression", "permessage-deflate" in socket.response.headers.get("Sec-WebSocket-Extensions", ""), True)
        await socket.send("who")
        proto = "https" if tls else "http"
        check("who", await socket.recv(), f"/socket?a=1 any.example:{port} {proto}")
        for message in ("text \u00fc", b"\0\xffbytes", "", "x" * 300_000, b"\1" * (2 << 20)):
            await socket.send(message)
            check("a message", (await socket.recv()) == message, True)
        for number in range(200):
            await socket.send(str(number))
        check("many", [int(await socket.recv()) for _ in range(200)], list(range(200)))
        await asyncio.wait_for(await socket.ping(), PATIENCE)
        await socket.close(1000, "done")
        try:
            await socket.recv()
        except ConnectionClosedOK as closed:
            check("the end", (closed.rcvd.code, closed.rcvd.reason), (1000, "done"))

    many = [connect(f"{scheme}://any.example:{port}/socket", **options) for _ in range(20)]
    sockets = [await opened for opened in many]
    for number, socket in enumerate(sockets):
        await socket.send(str(number))
    check("on many connections", [int(await socket.recv()) for socket in sockets], list(range(20)))
    for socket in sockets:
        await socket.close()

    # Where the route does not allow it, there is no upgrade.
    try:
        await connect(f"{scheme}://any.example:{port}/plain", **options)
        sys.exit("an upgrade where there should be none")
    except InvalidStatus as refused:
        check("a route without", refused.response.status_code // 100 in (2, 4), True)
    print("all well")


asyncio.run(asyncio.wait_for(main(int(sys.argv[1]), sys.argv[2]), PATIENCE))
