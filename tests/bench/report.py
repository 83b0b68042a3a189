"""The tables: printed, and written as Markdown."""

import os
import pathlib
import subprocess
from statistics import median

import cached
import doors
import files
import load
import machine
import systems
import tools
from instructions import Counted
from memory import Grown
from work import Work

# What the project has set itself.
MOST_RATIO = 1.15
MOST_CALL = 3.0
MOST_METHOD = 1.03
MOST_FILE = {"1k": 1.2, "100k": 1.2, "large": 1.05}
MOST_HIT = 0.9
MOST_DOOR = {doors.TLS: 1.1, doors.H2: 0.9, doors.H2_TLS: 0.9}


class Report:
    """Collects the tables. `incomplete` is set when something could not be measured."""

    def __init__(self, path: pathlib.Path):
        self.path, self.text, self.incomplete = path, [], False

    def begin(self, weir: pathlib.Path, cores: tuple[int, int]) -> None:
        said = subprocess.run([weir, "--version"], capture_output=True, text=True, timeout=10, check=False)
        beside = ("nginx", "haproxy", "wrk", "h2load", "valgrind", "openssl")
        versions = ", ".join([said.stdout.strip(), *map(tools.version, beside)])
        self.say("# Benchmark\n")
        self.say(f"{versions}. {machine.describe()}. Proxy on core {cores[0]}, load and origin on core {cores[1]}.")
        self.say("Ratios can be compared between machines, times cannot. How it is measured: tests/bench/README.md.")

    def say(self, line: str = "") -> None:
        print(line, flush=True)
        self.text.append(line)

    def end(self) -> None:
        load = " ".join(f"{value:.1f}" for value in os.getloadavg())
        self.say(f"\nLoad of the machine at the end: {load}.")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("\n".join(self.text) + "\n")
        print(f"\nwritten to {self.path}")

    def cpu(self, title: str, done: Work, calls: dict[str, int]) -> None:
        self.say(f"\n## CPU time per request, {title}, 64 kept connections\n")
        self.costs(done)
        if ratios := done.ratios("weir"):
            self.verdict("without filters", median(ratios), MOST_RATIO, "of nginx", bool(calls))
        if calls:
            self.calls(done, calls)

    def costs(self, done: Work, unit: str = "us") -> None:
        self.say(f"| system | {unit} | ratio to nginx (least to most) |")
        self.say("|---|---|---|")
        for name in done.rounds:
            cost, ratios = done.cost(name), done.ratios(name)
            self.say(f"| {name} | {'-' if cost is None else f'{cost:.1f}'} | {spread(ratios, 2)} |")
        self.failed(done.failures)

    def door(self, door: doors.Door, done: Work) -> None:
        several = f"{load.H2_CONNECTIONS} connections with {load.H2_STREAMS} streams each"
        how = several if door.http == 2 else "64 kept connections"
        self.say(f"\n## CPU time per request, {door.name}, 1 KiB bodies, {how}\n")
        self.costs(done)
        if ratios := done.ratios("weir"):
            self.verdict(door.name, median(ratios), MOST_DOOR[door], "of nginx", True)

    def files(self, size: str, done: files.Served) -> None:
        if size == "large":
            self.say(f"\n## CPU time per GiB, a file of {files.SIZES[size] >> 20} MiB, one connection\n")
        else:
            self.say(f"\n## CPU time per request, files of {files.SIZES[size] >> 10} KiB, 64 kept connections\n")
        self.say(f"| system, and how | {'ms per GiB' if size == 'large' else 'us'} | ratio to nginx (least to most) | resident MiB (least to most) |")
        self.say("|---|---|---|---|")
        for name in done.work.rounds:
            cost, ratios = done.work.cost(name), done.work.ratios(name, files.base(name))
            resident = spread([kib / 1024 for kib in done.resident.get(name, [])], 1)
            self.say(f"| {name} | {'-' if cost is None else f'{cost:.1f}'} | {spread(ratios, 2)} | {resident} |")
        self.failed(done.work.failures)
        for name in done.work.rounds:
            if name.startswith("weir") and (ratios := done.work.ratios(name, files.base(name))):
                self.verdict(name.removeprefix("weir, "), median(ratios), MOST_FILE[size], "of nginx", True)

    def cached(self, size: str, done: Work) -> None:
        self.say(f"\n## CPU time per hit, {cached.SIZES[size] >> 10} KiB, 64 kept connections\n")
        self.costs(done)
        if ratios := done.ratios("weir, memory"):
            self.verdict(f"a hit in memory, {cached.SIZES[size] >> 10} KiB", median(ratios), MOST_HIT, "of nginx", True)

    def handshakes(self, done: Work) -> None:
        self.say("\n## CPU time of a connection with a full handshake, TLS 1.3, ECDSA P-256\n")
        self.costs(done, "us per connection")
        rates = [f"{name} {1e6 / cost:.0f}" for name in done.rounds if (cost := done.cost(name))]
        if rates:
            self.say(f"\nConnections a second that one core is enough for: {', '.join(rates)}.")

    def h3(self, done: Work) -> None:
        self.say("\n## CPU time per request, HTTP/3, 1 KiB bodies, the gateway not busy all the time\n")
        self.say("| system | us (least to most) |")
        self.say("|---|---|")
        for name in doors.SYSTEMS:
            known = [cost for cost in done.rounds.get(name, []) if cost is not None]
            self.say(f"| {name} | {spread(known, 1)} |")
        self.say("\nDebian's nginx and HAProxy are built without HTTP/3.")
        self.failed(done.failures)

    def calls(self, done: Work, calls: dict[str, int]) -> None:
        self.say("\n## A filter call\n")
        self.say("| chain | calls | us per call (least to most) | share of the request |")
        self.say("|---|---|---|---|")
        for name, number in calls.items():
            costs, whole = done.calls(name, number), done.cost(name)
            share = f"{100 * number * median(costs) / whole:.0f} %" if costs and whole else "-"
            self.say(f"| {name.removeprefix('weir, ')} | {number} | {spread(costs, 2)} | {share} |")
        reused = {name: number for name, number in calls.items() if "fresh" not in name}
        known = [median(costs) for name, number in reused.items() if (costs := done.calls(name, number))]
        if known:
            self.verdict("a reused call, in the dearest of the chains", max(known), MOST_CALL, "us", True)

    def instructions(self, done: Counted, door: doors.Door = doors.CLEAR, of: str = "per request") -> None:
        few, many = done.requests
        self.say(f"\n## User instructions {of}, {door.name} (callgrind, {many} requests less {few})\n")
        self.say("| system | thousands | ratio to nginx |")
        self.say("|---|---|---|")
        nginx = done.figures.get("nginx")
        for name, figure in done.figures.items():
            self.say(f"| {name} | {figure / 1000:.1f} | {f'{figure / nginx:.2f}' if nginx else '-'} |")
        self.failed(done.failures)
        if any(systems.CHAINS.get(name) for name in done.figures):
            self.say("\nFilters ran in the narrow memory layout here, which checks bounds: valgrind cannot reserve")
            self.say("the wide one.")
        elif any(systems.CHAINS.get(name) for name in done.failures):
            self.say("\nWithout figures for filters here, their cost is what CPU time says above.")

    def balance(self, counted: Counted, work: Work) -> None:
        self.say("\n## Balancing methods, six members\n")
        self.say("| method | thousands of user instructions per request | ratio to round-robin | CPU, ratio to round-robin (least to most) |")
        self.say("|---|---|---|---|")
        base = counted.figures.get("weir, round-robin")
        worst = 0.0
        for name, figure in counted.figures.items():
            ratio = figure / base if base else 0.0
            worst = max(worst, ratio)
            method, cpu = name.removeprefix("weir, "), spread(work.ratios(name, "weir, round-robin"), 2)
            self.say(f"| {method} | {figure / 1000:.1f} | {f'{ratio:.3f}' if base else '-'} | {cpu} |")
        self.failed(counted.failures | work.failures)
        if base:
            self.verdict("the dearest method, by instructions", worst, MOST_METHOD, "of round-robin", True)

    def memory(self, grown: Grown) -> None:
        self.say("\n## Resident memory over requests, two filters\n")
        self.say("| requests | MiB |")
        self.say("|---|---|")
        for requests, kib in grown.points:
            self.say(f"| {requests} | {kib / 1024:.1f} |")
        if len(grown.points) > 1:
            growth = grown.points[-1][1] - grown.points[0][1]
            self.say(f"\nFrom the first of these to the last: {growth:+d} KiB.")
        if grown.failure:
            self.failed({"weir, 2 filters": grown.failure})

    def idle(self, found: dict[str, float | str], door: doors.Door = doors.CLEAR) -> None:
        self.say(f"\n## An idle connection, {door.name}, in the process's memory (the kernel's sockets not counted)\n")
        self.say("| system | KiB |")
        self.say("|---|---|")
        for name, kib in found.items():
            self.say(f"| {name} | {f'{kib:.1f}' if isinstance(kib, float) else '-'} |")
        self.failed({name: kib for name, kib in found.items() if isinstance(kib, str)})

    def verdict(self, what: str, found: float, most: float, unit: str, is_goal: bool) -> None:
        if is_goal:
            word = "reached" if found <= most else "missed"
            self.say(f"\nGoal, {what}: at most {most} {unit}; found {found:.2f}: {word}.")

    def failed(self, failures: dict[str, str]) -> None:
        for name, why in failures.items():
            self.incomplete = True
            self.say(f"\nNot measured, or not in every round: {name}: {why}")


def spread(values: list[float], digits: int) -> str:
    if not values:
        return "-"
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"
