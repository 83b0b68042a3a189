"""CPU time per request over HTTP/3. The client is slower than the gateway, so the gateway is not busy all the time."""

import os
import pathlib
import subprocess

import doors
import machine
import systems
import tools
from work import Work, interleaved

CLIENT = pathlib.Path(__file__).with_name("h3load.py")
WARM = 500

# One round's requests take this client some seconds; more than this is a fault.
PATIENCE = 300


def measure(bench: systems.Bench) -> Work:
    number = int(os.environ.get("WEIR_BENCH_H3_REQUESTS", "4000"))
    return interleaved(doors.H3.name, ["weir"], lambda name: one(bench, name, number, tools.peers()))


def one(bench: systems.Bench, name: str, number: int, python: str) -> float:
    with bench.start(name, door=doors.H3) as system:
        with Client(bench, system, python) as client:
            client.exchange(WARM)
            before = machine.spent(system.pid)
            client.exchange(number)
            return (machine.spent(system.pid) - before) / number / 1000


class Client:
    """h3load.py, which connects once, and then makes as many requests as it is told."""

    def __init__(self, bench: systems.Bench, system: systems.Running, python: str):
        arguments = [python, str(CLIENT), str(system.port), system.path("1k"), str(bench.place / "door.pem")]
        self.process = subprocess.Popen(
            systems.pinned(bench.cores[1], arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        systems.end(self.process)

    def exchange(self, requests: int) -> None:
        """Raises Failed unless all of them are answered well."""
        try:
            self.process.stdin.write(f"{requests} {PATIENCE}\n")
            self.process.stdin.flush()
        except OSError:
            pass
        said = self.process.stdout.readline().strip()
        if said != f"answered {requests}":
            raise machine.Failed(f"the client of HTTP/3: {said} {self.process.stdout.read()[-300:]}".strip())
