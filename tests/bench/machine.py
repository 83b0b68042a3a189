"""The machine: its cores, what processes on it have spent, and free ports."""

import os
import pathlib
import socket


class Unfit(Exception):
    """The benchmark cannot run here; the text says why and what to do."""


class Failed(Exception):
    """One measurement did not work; the text says why. The others go on."""


def cores() -> tuple[int, int]:
    """The core of the proxy under test, and the core of everything else."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise Unfit("two cores are needed: one for the proxy, one for the load and the origin")
    return allowed[0], allowed[1]


def tree(pid: int) -> list[int]:
    """A process and its descendants."""
    children: dict[int, list[int]] = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name before it, in brackets, may hold anything.
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    found = [pid]
    for each in found:
        found.extend(children.get(each, []))
    return found


def spent(pid: int) -> int:
    """Nanoseconds on a processor, of all threads of a process and its descendants."""
    total = 0
    for each in tree(pid):
        for thread in pathlib.Path(f"/proc/{each}/task").glob("*/schedstat"):
            try:
                total += int(thread.read_text().split()[0])
            except OSError:
                continue
    return total


def resident(pid: int) -> int:
    """Resident KiB of a process and its descendants, pages that several share divided among them.

    The sums in /proc/PID/status are estimates on current kernels, by hundreds of KiB; these are counted.
    """
    total = 0
    for each in tree(pid):
        for line in pathlib.Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def describe() -> str:
    """One line on processor, kernel and how busy the machine is."""
    model = "unknown processor"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    control = pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    return f"{model}, {os.cpu_count()} cores, Linux {os.uname().release}, TCP {control}, load {load}"
