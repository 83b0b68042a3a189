"""A WebSocket server on a port that it says first: whatever comes goes back, and `who` is answered with what was asked for."""

import asyncio

from websockets.asyncio.server import serve


async def echo(connection):
    async for message in connection:
        if message == "who":
            request = connection.request
            message = f"{request.path} {request.headers['Host']} {request.headers['X-Forwarded-Proto']}"
        await connection.send(message)


async def main():
    async with serve(echo, "127.0.0.1", 0, max_size=8 << 20) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


asyncio.run(main())
