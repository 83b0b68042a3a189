"""CPU time per request: systems interleaved round by round, ratios within a round, the median over rounds."""

import os
import random
from collections.abc import Callable
from statistics import median

import doors
import load
import machine
import systems

# Filter calls of one request, and what the request costs without them. Which system is which: systems.py.
CALLS = {"weir, rewrite": 1, "weir, headers": 1, "weir, 2 filters": 2, "weir, 5 filters": 5, "weir, fresh instance": 1}


class Work:
    """Microseconds of CPU per request of each system, one for each round; None where a round failed."""

    def __init__(self) -> None:
        self.rounds: dict[str, list[float | None]] = {}
        self.failures: dict[str, str] = {}

    def note(self, name: str, cost: float | None) -> None:
        self.rounds.setdefault(name, []).append(cost)

    def cost(self, name: str) -> float | None:
        known = [cost for cost in self.rounds.get(name, []) if cost is not None]
        return median(known) if known else None

    def ratios(self, name: str, base: str = "nginx") -> list[float]:
        pairs = zip(self.rounds.get(name, []), self.rounds.get(base, []), strict=False)
        return [cost / other for cost, other in pairs if cost and other]

    def calls(self, name: str, number: int) -> list[float]:
        """Microseconds of one filter call, one for each round."""
        pairs = zip(self.rounds.get(name, []), self.rounds.get("weir", []), strict=False)
        return [(cost - without) / number for cost, without in pairs if cost and without]


def measure(bench: systems.Bench, size: str, names: list[str], door: doors.Door = doors.CLEAR) -> Work:
    seconds = float(os.environ.get("WEIR_BENCH_SECONDS", "2"))
    return interleaved(f"{door.name}, {size}", names, lambda name: one(bench, name, size, seconds, door))


def interleaved(title: str, names: list[str], run: Callable[[str], float]) -> Work:
    """Every run has a process of its own: where its memory happens to lie can be worth some percent either way."""
    rounds = int(os.environ.get("WEIR_BENCH_ROUNDS", "10"))
    done, order = Work(), list(names)
    # The same order everywhere, but another one in each round, so that none always follows the same neighbour.
    dice = random.Random(1)
    for turn in range(rounds):
        dice.shuffle(order)
        costs = {name: tried(name, run, done) for name in order}
        for name in names:
            done.note(name, costs[name])
        print(f"bench: {title}, round {turn + 1} of {rounds}", flush=True)
    return done


def tried(name: str, run: Callable[[str], float], done: Work) -> float | None:
    try:
        return run(name)
    except (machine.Failed, OSError) as failed:
        done.failures[name] = str(failed)
        return None


def one(bench: systems.Bench, name: str, size: str, seconds: float, door: doors.Door) -> float:
    """Microseconds of CPU per request."""
    client = load.h2load if door.http == 2 else load.wrk
    with bench.start(name, door=door) as system:
        client(bench.cores[1], system.url(size), 1)
        before = machine.spent(system.pid)
        requests = client(bench.cores[1], system.url(size), seconds)
        return (machine.spent(system.pid) - before) / requests / 1000
