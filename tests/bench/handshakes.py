"""CPU time of a full TLS handshake: connections with one request each, less the same requests on kept connections."""

import os

import doors
import load
import machine
import systems
from work import Work, interleaved

# Connections of the run that is taken off.
KEPT = 16


def measure(bench: systems.Bench) -> Work:
    """Microseconds of CPU per connection, from its being accepted to its end."""
    number = int(os.environ.get("WEIR_BENCH_HANDSHAKES", "1000"))
    return interleaved("handshakes", doors.SYSTEMS, lambda name: one(bench, name, number))


def one(bench: systems.Bench, name: str, number: int) -> float:
    with bench.start(name, door=doors.TLS) as system:
        fresh(system, number // 4)
        before = machine.spent(system.pid)
        fresh(system, number)
        between = machine.spent(system.pid)
        with system.connections(KEPT, "1k") as client:
            client.exchange(KEPT)
            settled = machine.spent(system.pid)
            for _ in range(number // KEPT):
                client.one_by_one()
        kept = (machine.spent(system.pid) - settled) / (number // KEPT * KEPT)
        return ((between - before) / number - kept) / 1000


def fresh(system: systems.Running, number: int) -> None:
    """Connections one after the other, none with a session of another's. Raises Failed where one was resumed."""
    context = system.context()
    for _ in range(number):
        with load.Connections(system.port, 1, system.path("1k"), context) as client:
            client.one_by_one()
            secured = client.sockets[0]
            if secured.version() != "TLSv1.3" or secured.session_reused:
                raise machine.Failed(f"not a full handshake of TLS 1.3: {secured.version()}")
