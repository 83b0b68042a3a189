"""User instructions per request, counted by callgrind: a long run less a short one, so that start-up cancels out."""

import os
import re

import doors
import load
import machine
import systems
import tools

NAMES = ["nginx", "haproxy", "weir", "weir, rewrite", "weir, 2 filters", "weir, 5 filters"]

# Under valgrind nobody can reserve the terabytes of address space in which filters are fastest. With this limit the
# gateway lays out its memories narrowly and checks bounds: a little more code per call.
ADDRESS_SPACE = 100 << 30

# Connections of the exact client; each event loop pass serves several, as under real load.
CONNECTIONS = 16


class Counted:
    """Instructions per request, and why where there are none."""

    def __init__(self) -> None:
        self.figures: dict[str, float] = {}
        self.failures: dict[str, str] = {}
        self.requests = (0, 0)


def measure(bench: systems.Bench, names: list[str] = NAMES, door: doors.Door = doors.CLEAR) -> Counted:
    few = int(os.environ.get("WEIR_BENCH_CALLGRIND_FEW", "1000"))
    many = int(os.environ.get("WEIR_BENCH_CALLGRIND_MANY", "6000"))
    done = Counted()
    done.requests = (few, many)
    for name in names:
        try:
            if systems.CHAINS.get(name):
                compile_filters(bench, name)
            done.figures[name] = (total(bench, name, many, door) - total(bench, name, few, door)) / (many - few)
        except (machine.Failed, OSError) as failed:
            done.failures[name] = str(failed)
        print(f"bench: instructions, {door.name}, {name}", flush=True)
    return done


def compile_filters(bench: systems.Bench, name: str) -> None:
    """Fills the cache of compiled filters, so that no count holds the compiler's work.

    Under valgrind as well: code is compiled for the processor there is, and valgrind's is not quite the machine's.
    """
    wrapper = (tools.find("valgrind"), "--tool=none", "-q")
    with bench.start(name, wrapper, ADDRESS_SPACE):
        pass


def total(bench: systems.Bench, name: str, requests: int, door: doors.Door) -> int:
    written = bench.place / f"callgrind.{door.file}.{name.replace(',', '').replace(' ', '-')}.{requests}"
    wrapper = (tools.find("valgrind"), "--tool=callgrind", "-q", f"--callgrind-out-file={written}")
    limit = ADDRESS_SPACE if name.startswith("weir") else None
    with bench.start(name, wrapper, limit, door) as running:
        if door.http == 2:
            load.h2load(bench.cores[1], running.url("1k"), requests=requests)
        else:
            with load.Connections(running.port, CONNECTIONS, running.path("1k"), running.context()) as client:
                client.exchange(requests)
    if not written.exists():
        raise machine.Failed("valgrind wrote no counts")
    sums = [int(found) for found in re.findall(r"(?m)^(?:totals|summary): (\d+)", written.read_text(errors="replace"))]
    if not sums:
        raise machine.Failed("valgrind wrote no sum")
    return max(sums)
