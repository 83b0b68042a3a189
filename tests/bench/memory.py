"""Memory: whether it stays flat over millions of requests, and what an idle connection holds."""

import os
import time

import doors
import load
import machine
import systems

# Allocators and page caches settle within the first requests; what grows after them grows for ever.
SETTLED = 200_000

IDLE = ["nginx", "haproxy", "weir", "weir, 2 filters"]


class Grown:
    """Resident KiB after so many requests."""

    def __init__(self) -> None:
        self.points: list[tuple[int, int]] = []
        self.failure = ""


def over_requests(bench: systems.Bench) -> Grown:
    goal = int(os.environ.get("WEIR_BENCH_MEMORY_REQUESTS", "2000000"))
    marks = [min(SETTLED, goal // 2), goal // 2, goal]
    done, requests, grown = 0, 0, Grown()
    try:
        with bench.start("weir, 2 filters") as running:
            # Every pass serves thousands; without progress wrk fails.
            for _ in range(10_000):
                requests += load.wrk(bench.cores[1], running.url("1k"), 2 if done == 0 else 5)
                if requests >= marks[done]:
                    grown.points.append((requests, machine.resident(running.pid)))
                    done += 1
                    print(f"bench: memory after {requests} requests", flush=True)
                if done == len(marks):
                    break
    except machine.Failed as failed:
        grown.failure = str(failed)
    return grown


def idle(
    bench: systems.Bench, names: list[str] = IDLE, door: doors.Door = doors.CLEAR
) -> dict[str, float | str]:
    """Resident KiB of one idle connection that has had one exchange, or why it is not known."""
    number = int(os.environ.get("WEIR_BENCH_IDLE", "1000"))
    found: dict[str, float | str] = {}
    for name in names:
        try:
            with bench.start(name, door=door) as running:
                # Warm, but without a load before it, whose memory the connections would then move into.
                with running.connections(8, "1k") as client:
                    client.one_by_one()
                time.sleep(1)
                before = machine.resident(running.pid)
                with running.connections(number, "1k") as client:
                    client.one_by_one()
                    time.sleep(1)
                    found[name] = (machine.resident(running.pid) - before) / number
        except (machine.Failed, OSError) as failed:
            found[name] = str(failed)
        print(f"bench: idle connections, {door.name}, {name}", flush=True)
    return found
