"""The programs that the benchmark needs beside Weir: found, or installed from Debian when that is possible."""

import os
import pathlib
import shutil
import subprocess

from machine import Failed, Unfit

NEEDED = {
    "nginx": "nginx", "haproxy": "haproxy", "wrk": "wrk", "valgrind": "valgrind", "taskset": "util-linux",
    "h2load": "nghttp2-client", "openssl": "openssl",
}

# System programs are not on every user's path.
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/bin"

# Debian starts services when it installs them, unless this file says no (invoke-rc.d(8)).
POLICY = pathlib.Path("/usr/sbin/policy-rc.d")

SUITES = pathlib.Path(__file__).resolve().parents[1]


def find(program: str) -> str:
    found = shutil.which(program, path=PATH)
    if found is None:
        raise Unfit(f"{program} is missing")
    return found


def provide() -> None:
    """Sees that all programs are there.

    Raises Unfit when some are missing and cannot be installed.
    """
    packages = missing()
    if not packages:
        return
    words = " ".join(packages)
    if os.geteuid() != 0 or shutil.which("apt-get", path=PATH) is None:
        raise Unfit(f"these packages are needed: {words}; install them with: sudo apt-get install {words}")
    print(f"bench: installing {words}", flush=True)
    install(packages)
    if missing():
        raise Unfit(f"still missing after installation: {' '.join(missing())}")


def also(program: str, package: str) -> None:
    """Sees that a program is there that only one table needs.

    Raises Failed when it is missing and cannot be installed.
    """
    if shutil.which(program, path=PATH) is not None:
        return
    try:
        if os.geteuid() != 0 or shutil.which("apt-get", path=PATH) is None:
            raise Unfit(f"{package} is missing; install it with: sudo apt-get install {package}")
        print(f"bench: installing {package}", flush=True)
        install([package])
        find(program)
    except Unfit as unfit:
        raise Failed(str(unfit)) from unfit


def peers() -> str:
    """A Python that has aioquic: the suites' own, which is made when it is not there yet.

    Raises Failed when it cannot be made.
    """
    python = SUITES / ".peers" / "bin" / "python"
    if not python.exists():
        print("bench: tests/peers.sh", flush=True)
        try:
            made = subprocess.run([SUITES / "peers.sh"], capture_output=True, text=True, timeout=900, check=False)
        except subprocess.TimeoutExpired as error:
            raise Failed("tests/peers.sh did not end") from error
        if made.returncode != 0:
            raise Failed(f"tests/peers.sh: {made.stderr.strip()[-300:]}")
    return str(python)


def missing() -> list[str]:
    return [package for program, package in NEEDED.items() if shutil.which(program, path=PATH) is None]


def install(packages: list[str]) -> None:
    """Installs without starting any service."""
    ours = not POLICY.exists()
    if ours:
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
    try:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *packages]):
            subprocess.run(["apt-get", *command], env=environment, check=True, stdout=subprocess.DEVNULL, timeout=600)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise Unfit(f"apt-get did not install {' '.join(packages)}: {error}") from error
    finally:
        if ours:
            POLICY.unlink()


def version(program: str) -> str:
    """What a program says of itself, in a few words."""
    flag = {"nginx": "-v", "haproxy": "-v", "wrk": "-v", "openssl": "version"}.get(program, "--version")
    said = subprocess.run([find(program), flag], capture_output=True, text=True, timeout=10, check=False)
    first = (said.stdout + said.stderr).strip().splitlines()[0]
    return first.removeprefix("nginx version: ").split(" Copyright")[0].split(" - https")[0].split(" (Library")[0].strip()
