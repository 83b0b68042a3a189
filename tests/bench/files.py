"""Files: CPU time of those that a system serves itself, of those that an upstream names, and of large bodies that pass.

Each system has one config with every way in it. nginx is as a site that serves files has it: sendfile, tcp_nopush, and
an open_file_cache that looks at a file again as often as Weir does. It does not know X-Sendfile, whose base is therefore
its X-Accel-Redirect. The same small nginx is behind both; it answers with nothing but the file's name.
"""

import contextlib
import http.client
import os
import pathlib
import random
import re
import shutil
import zlib
from collections.abc import Iterator

import load
import machine
import systems
from work import Work, interleaved

# Bytes; the large one in MiB, so that a look at whether all works need not take minutes.
SIZES = {
    "1k": 1 << 10,
    "100k": 100 << 10,
    "large": int(os.environ.get("WEIR_BENCH_LARGE_FILE", "1024")) << 20,
}

# Where each way begins.
PATHS = {"static": "files", "X-Accel-Redirect": "accel", "X-Sendfile": "sendfile", "proxied": "proxied"}

NAMED = ["nginx, static", "weir, static", "nginx, X-Accel-Redirect", "weir, X-Accel-Redirect", "weir, X-Sendfile"]
SYSTEMS = {"1k": NAMED, "100k": NAMED, "large": [*NAMED, "nginx, proxied", "weir, proxied"]}

# Of the large file, for one figure.
DOWNLOADS = 3

# What a client takes at once.
BLOCK = 1 << 20

WEIR = systems.WEIR_HEAD + """
[pool.origin]
member = ["http://127.0.0.1:{origin}"]
max-idle-connections = 1024
[root.kept]
path = "{place}/files"
[site.main]
via = true
route = [
    {{ path = "/files", strip-prefix = true, root = "kept" }},
    {{ path = "/kept", internal = true, strip-prefix = true, root = "kept" }},
    {{ pool = "origin" }},
]
"""

NGINX = systems.NGINX_PROXY + """
    sendfile on; tcp_nopush on; default_type application/octet-stream;
    open_file_cache max=1024 inactive=60s; open_file_cache_valid 1s;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        add_header Via "1.1 nginx";
        location /files/ {{ alias {place}/files/; }}
        location /kept/ {{ internal; alias {place}/files/; }}
        location / {{
            proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
            {fields}
        }}
    }}
}}
"""

ORIGIN = systems.NGINX_ORIGIN + """
    access_log off;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location ~ ^/accel/(\\w+)$ {{ add_header X-Accel-Redirect /kept/$1; return 200; }}
        location ~ ^/sendfile/(\\w+)$ {{ add_header X-Sendfile {place}/files/$1; return 200; }}
        location /proxied/ {{ alias {place}/files/; }}
    }}
}}
"""


class Served:
    """CPU time of every system, and what it had in memory."""

    def __init__(self, work: Work, resident: dict[str, list[int]]):
        """`work`: microseconds per request, or milliseconds per GiB of the large file. `resident`: KiB of each run."""
        self.work, self.resident = work, resident


class Stage:
    """A file of one of the sizes, and an origin that has it and names it."""

    def __init__(self, bench: systems.Bench, origin_port: int, size: str, checksum: int):
        self.bench, self.origin_port, self.size, self.checksum = bench, origin_port, size, checksum
        self.resident: dict[str, list[int]] = {}

    def small(self, name: str) -> float:
        """Microseconds of CPU per request."""
        seconds = float(os.environ.get("WEIR_BENCH_SECONDS", "2"))
        with self.start(name) as system:
            self.check(system, name)
            url = f"http://127.0.0.1:{system.port}{self.path(name)}"
            load.wrk(self.bench.cores[1], url, 1)
            before = machine.spent(system.pid)
            requests = load.wrk(self.bench.cores[1], url, seconds)
            cost = (machine.spent(system.pid) - before) / requests / 1000
            self.resident.setdefault(name, []).append(machine.resident(system.pid))
        return cost

    def large(self, name: str) -> float:
        """Milliseconds of CPU per GiB, after one download that is looked at."""
        with self.start(name) as system:
            self.resident.setdefault(name, []).append(self.check(system, name))
            before = machine.spent(system.pid)
            for _ in range(DOWNLOADS):
                for _ in download(system.port, self.path(name)):
                    pass
            cost = (machine.spent(system.pid) - before) / 1e6
        return cost / DOWNLOADS / (SIZES[self.size] / (1 << 30))

    @contextlib.contextmanager
    def start(self, name: str) -> Iterator[systems.Running]:
        """Raises machine.Failed when the system does not start."""
        port, bench = machine.free_port(), self.bench
        known = {"place": bench.place, "name": name.replace(", ", "-"), "port": port, "origin": self.origin_port}
        if name.startswith("weir"):
            config = bench.write(f"{known['name']}.toml", WEIR.format(**known))
            command = [str(bench.weir), "run", "-c", config]
        else:
            fields = systems.NGINX_FIELDS.format(**known)
            config = NGINX.format(**known, user=systems.user(), master="on", fields=fields)
            command = bench.nginx_command(f"{known['name']}.conf", config)
        with bench.listening(known["name"], port, systems.pinned(bench.cores[0], command)) as running:
            yield running

    def path(self, name: str) -> str:
        return f"/{PATHS[name.partition(', ')[2]]}/{self.size}"

    def check(self, running: systems.Running, name: str) -> int:
        """Looks at every byte of an answer; the most resident KiB meanwhile.

        Raises machine.Failed when they are not the file's, or a client may ask for what only an origin may name.
        """
        refused(running, f"/kept/{self.size}")
        checksum, most = 0, 0
        for turn, some in enumerate(download(running.port, self.path(name))):
            checksum = zlib.crc32(some, checksum)
            if turn % 64 == 0:
                most = max(most, machine.resident(running.pid))
        if checksum != self.checksum:
            raise machine.Failed("the client got other bytes than the file's")
        return most


def base(name: str) -> str:
    """What a system is compared with."""
    way = name.partition(", ")[2]
    return f"nginx, {'X-Accel-Redirect' if way == 'X-Sendfile' else way}"


def measure(bench: systems.Bench, size: str) -> Served:
    try:
        with pinned(bench.cores[1]), staged(bench, size) as stage:
            run = stage.large if size == "large" else stage.small
            work = interleaved(f"files, {size}", SYSTEMS[size], run)
            return Served(work, stage.resident)
    except (machine.Failed, OSError) as failed:
        nothing = Work()
        nothing.failures["files"] = str(failed)
        return Served(nothing, {})


@contextlib.contextmanager
def pinned(core: int) -> Iterator[None]:
    """The client of large files is this process, which shall not be where the proxy is."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def staged(bench: systems.Bench, size: str) -> Iterator[Stage]:
    """Writes a file and starts an origin for it. Raises machine.Failed where there is no room."""
    if shutil.disk_usage(bench.place).free < 3 * SIZES[size]:
        raise machine.Failed(f"{bench.place} has no room for a file of {SIZES[size]} bytes and a proxy's copy of it")
    (bench.place / "files").mkdir(exist_ok=True)
    file, port = bench.place / "files" / size, machine.free_port()
    try:
        checksum = write(file, SIZES[size])
        with bench.nginx("files-origin", port, ORIGIN):
            yield Stage(bench, port, size, checksum)
    finally:
        file.unlink(missing_ok=True)


def write(file: pathlib.Path, length: int) -> int:
    """Bytes in which no block is like another; their checksum."""
    block, checksum = random.Random(1).randbytes(min(BLOCK, length)), 0
    with file.open("wb") as output:
        for number in range(length // len(block)):
            some = number.to_bytes(8, "big") + block[8:]
            checksum = zlib.crc32(some, checksum)
            output.write(some)
    return checksum


def download(port: int, asked: str) -> Iterator[memoryview]:
    """The body of an answer as it comes. Raises machine.Failed unless it is a whole 200 that names no file."""
    buffer = memoryview(bytearray(BLOCK))
    try:
        with load.connected(port, None, load.PATIENCE) as stream:
            stream.sendall(f"GET {asked} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            text = b""
            while b"\r\n\r\n" not in text:
                text += load.received(stream)
            head, _, body = text.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            if not head.startswith(b"HTTP/1.1 200") or length is None:
                raise machine.Failed(f"not a 200 with a length: {head[:60]!r}")
            if re.search(rb"(?i)\r\nx-(accel|sendfile)", head):
                raise machine.Failed("the client was told what the origin told the proxy")
            yield memoryview(body)
            left = int(length[1]) - len(body)
            while left > 0:
                some = stream.recv_into(buffer, min(left, BLOCK))
                if some == 0:
                    raise machine.Failed("the connection was closed before its answer was whole")
                left -= some
                yield buffer[:some]
    except OSError as error:
        raise machine.Failed(f"no answer: {error}") from error


def refused(running: systems.Running, asked: str) -> None:
    """What an origin may name, a client may not ask for."""
    client = http.client.HTTPConnection("127.0.0.1", running.port, timeout=load.PATIENCE)
    with contextlib.closing(client):
        client.request("GET", asked)
        status = client.getresponse().status
    if status != 404:
        raise machine.Failed(f"an internal route answered a client by {status}")
