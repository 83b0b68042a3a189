"""CPU time per request: systems interleaved round by round, ratios within a round, the median over rounds."""

import os
from contextlib import ExitStack
from statistics import median

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


def measure(bench: systems.Bench, size: str, names: list[str]) -> Work:
    rounds = int(os.environ.get("WEIR_BENCH_ROUNDS", "10"))
    seconds = float(os.environ.get("WEIR_BENCH_SECONDS", "2"))
    done = Work()
    with ExitStack() as all_of_them:
        running = {}
        for name in names:
            try:
                running[name] = all_of_them.enter_context(bench.start(name))
                load.wrk(bench.cores[1], running[name].url(size), 1)
            except machine.Failed as failed:
                done.failures[name] = str(failed)
                running.pop(name, None)
        order = list(running)
        for turn in range(rounds):
            # Everybody is first once, so that none always follows the same neighbour.
            at = turn % max(1, len(order))
            for name in order[at:] + order[:at]:
                done.note(name, one(bench, running[name], size, seconds, done))
            print(f"bench: {size}, round {turn + 1} of {rounds}", flush=True)
    return done


def one(bench: systems.Bench, system: systems.Running, size: str, seconds: float, done: Work) -> float | None:
    before = machine.spent(system.pid)
    try:
        requests = load.wrk(bench.cores[1], system.url(size), seconds)
    except machine.Failed as failed:
        done.failures[system.name] = str(failed)
        return None
    return (machine.spent(system.pid) - before) / requests / 1000
