"""The systems under test: their configs, and how they are started and ended.

All do the same: keep connections on both sides, no access log, the client's address, scheme, host and port told to the
origin, `Via` both ways, a request id. "nginx, bare" does none of the latter.
"""

import contextlib
import grp
import os
import pathlib
import pwd
import re
import resource
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator

import doors
import frames
import load
import machine
import tools

SMALL = [
    "haproxy", "nginx, bare", "nginx", "weir", "weir, rewrite", "weir, headers", "weir, 2 filters", "weir, 5 filters",
    "weir, fresh instance",
]
LARGE = ["haproxy", "nginx", "weir", "weir, 2 filters"]

# The route's chain of each Weir under test. `again` and `once-more` rewrite what the rewrite before them made, so that
# every filter of a chain has work to do.
CHAINS = {
    "weir": [],
    "weir, rewrite": ["rewrite"],
    "weir, headers": ["headers"],
    "weir, 2 filters": ["rewrite", "headers"],
    "weir, 5 filters": ["rewrite", "headers", "again", "more-headers", "once-more"],
    "weir, fresh instance": ["fresh-rewrite"],
}

# Where a rewriting chain takes /old/.
TARGETS = {"weir, rewrite": "new", "weir, 2 filters": "new", "weir, 5 filters": "newest", "weir, fresh instance": "new"}

# How members are chosen, each over six members. What hashes needs something to hash: the client's address is the same
# for all, so it is the path.
BALANCE = {
    f"weir, {method}": f'"{method}"'
    for method in [
        "round-robin", "least-requests", "by-traffic", "by-busyness", "random-two", "peak-ewma", "by-load", "ip-hash",
        "first",
    ]
} | {
    "weir, hash ring": '{ method = "hash", key = "path", table = "ring", load-factor = 125 }',
    "weir, hash maglev": '{ method = "hash", key = "path", table = "maglev" }',
}
MEMBERS = 6

FILTERS = """
[filter.rewrite]
module = "std:url-rewrite"
settings = { rule = [{ match = '^/old/(.*)$', to = '/new/$1' }] }
[filter.headers]
module = "std:header-rules"
settings = { request = [{ action = "set", name = "x-first", value = "1" }] }
[filter.again]
module = "std:url-rewrite"
settings = { rule = [{ match = '^/new/(.*)$', to = '/newer/$1' }] }
[filter.more-headers]
module = "std:header-rules"
settings = { request = [{ action = "set", name = "x-second", value = "2" }] }
[filter.once-more]
module = "std:url-rewrite"
settings = { rule = [{ match = '^/newer/(.*)$', to = '/newest/$1' }] }
[filter.fresh-rewrite]
module = "std:url-rewrite"
instances = "per-request"
settings = { rule = [{ match = '^/old/(.*)$', to = '/new/$1' }] }
"""

# How every Weir here begins, up to what is particular to its listener.
WEIR_HEAD = """
threads = 1
shutdown-timeout = "2s"
cache-directory = "{place}/compiled"
[log]
level = "error"
[access-log]
format = "off"
[listener.web]
bind = "127.0.0.1:{port}"
"""

WEIR = WEIR_HEAD + """
{door}
[pool.origin]
member = {members}
balance = {balance}
max-idle-connections = 1024
{filters}
[site.main]
via = true
route = [{{ pool = "origin", filters = {chain} }}]
"""

# How every nginx here begins. Workers are who started it, so that a directory of theirs is nobody else's.
NGINX_HEAD = """
user {user}; daemon off; master_process {master}; worker_processes 1; pid {place}/{name}.pid; error_log stderr crit;
events {{ worker_connections 8192; }}
http {{
    server_tokens off; keepalive_requests 1000000000;
    client_body_temp_path {place}/{name}.1; proxy_temp_path {place}/{name}.2; fastcgi_temp_path {place}/{name}.3;
    uwsgi_temp_path {place}/{name}.4; scgi_temp_path {place}/{name}.5;
"""

# As a proxy, and as the origin of other systems.
NGINX_PROXY = NGINX_HEAD + """
    access_log off; keepalive_timeout 75s;
    upstream origin {{ server 127.0.0.1:{origin}; keepalive 1024; keepalive_requests 1000000000; }}
"""
NGINX_ORIGIN = NGINX_HEAD + """
    sendfile on; tcp_nopush on; keepalive_timeout 600s; default_type application/octet-stream;
    open_file_cache max=16; open_file_cache_valid 600s;
"""

NGINX = NGINX_PROXY + """
    server {{
        listen 127.0.0.1:{port}{flags} backlog=1024; {door}
        location / {{
            proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
            {fields}
        }}
    }}
}}
"""

NGINX_FIELDS = """
            proxy_set_header Host 127.0.0.1:{origin};
            proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host; proxy_set_header X-Forwarded-Port $server_port;
            proxy_set_header X-Request-Id $request_id; proxy_set_header Via "1.1 nginx"; add_header Via "1.1 nginx";
"""

HAPROXY = """
global
    nbthread 1
    maxconn 8192
defaults
    mode http
    timeout connect 5s
    timeout client 75s
    timeout server 60s
    timeout http-request 10s
    timeout http-keep-alive 75s
    http-reuse always
frontend web
    bind 127.0.0.1:{port} backlog 1024{door}
    option forwardfor
    unique-id-format %[uuid()]
    unique-id-header X-Request-Id
    http-request set-header X-Forwarded-Proto {scheme}
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request set-header X-Forwarded-Port %[dst_port]
    http-request add-header Via "1.1 haproxy"
    http-response add-header Via "1.1 haproxy"
    default_backend origin
backend origin
    server one 127.0.0.1:{origin} maxconn 1024 pool-max-conn 1024
"""

ORIGIN = NGINX_ORIGIN + """
    access_log off;
    server {{
        {listen}
        location ~ ^/new(er|est)?/told$ {{
            return 200 "$uri $http_x_first$http_x_second $http_x_forwarded_for $http_via";
        }}
        location ~ ^/new(er|est)?/(1k|100k)$ {{ alias {place}/$2; }}
    }}
}}
"""

# A program that does not listen by then never will; under valgrind start-up takes tens of seconds.
PATIENCE = 120.0


class Running:
    """A system that listens."""

    def __init__(self, name: str, port: int, process: subprocess.Popen, place: pathlib.Path, door: doors.Door):
        self.name, self.port, self.pid, self.process = name, port, process.pid, process
        self.place, self.door = place, door

    def path(self, what: str) -> str:
        return f"/{'old' if self.name in TARGETS else 'new'}/{what}"

    def url(self, what: str) -> str:
        return f"{self.door.scheme}://127.0.0.1:{self.port}{self.path(what)}"

    def context(self) -> ssl.SSLContext | None:
        return doors.context(self.place, self.door)

    def connections(self, number: int, what: str) -> load.Connections | frames.Connections:
        """Kept connections through the door; where that is HTTP/3, over TLS beside it."""
        kind = frames.Connections if self.door.http == 2 else load.Connections
        return kind(self.port, number, self.path(what), self.context())


class Bench:
    """A directory, the cores, the binary and the origin that all systems share."""

    def __init__(self, place: pathlib.Path, weir: pathlib.Path, cores: tuple[int, int]):
        self.place, self.weir, self.cores = place, weir, cores
        self.origin_port = 0
        for name, length in (("1k", 1 << 10), ("100k", 100 << 10)):
            (place / name).write_bytes(b"x" * length)
        doors.certificate(place)

    @contextlib.contextmanager
    def origin(self) -> Iterator[None]:
        self.origin_port = machine.free_port()
        listen = "".join(f"listen {address}:{self.origin_port} backlog=1024;" for address in addresses(MEMBERS))
        with self.nginx("origin", self.origin_port, ORIGIN, listen=listen):
            yield

    @contextlib.contextmanager
    def nginx(self, name: str, port: int, text: str, **known: object) -> Iterator[None]:
        """An nginx beside the load, for others to ask."""
        text = text.format(place=self.place, name=name, port=port, user=user(), master="off", **known)
        command = self.nginx_command(f"{name}.conf", text)
        with self.listening(name, port, pinned(self.cores[1], command)):
            yield

    def nginx_command(self, file: str, text: str) -> list[str]:
        """Temporary files lie in its prefix."""
        return [tools.find("nginx"), "-p", str(self.place), "-c", self.write(file, text)]

    @contextlib.contextmanager
    def start(
        self,
        name: str,
        wrapper: tuple[str, ...] = (),
        address_space: int | None = None,
        door: doors.Door = doors.CLEAR,
    ) -> Iterator[Running]:
        """Starts a system on the proxy's core, checks that it does its work, and ends it afterwards.

        Raises machine.Failed when it does not start or does something else.
        """
        port = machine.free_port()
        command = pinned(self.cores[0], [*wrapper, *self.command(name, port, door, alone=bool(wrapper))])
        with self.listening(name, port, command, address_space, door) as running:
            self.prove(running)
            yield running

    def command(self, name: str, port: int, door: doors.Door, alone: bool) -> list[str]:
        file = name.replace(",", "").replace(" ", "-")
        known = {"place": self.place, "name": file, "port": port, "origin": self.origin_port}
        if name.startswith("weir"):
            chain = CHAINS.get(name, [])
            members = [f"http://{address}:{self.origin_port}" for address in addresses(MEMBERS if name in BALANCE else 1)]
            config = WEIR.format(
                **known, chain=chain, filters=FILTERS if chain else "", members=members,
                balance=BALANCE.get(name, '"round-robin"'), door=doors.weir(self.place, door),
            )
            return [str(self.weir), "run", "-c", self.write(f"{file}.toml", config)]
        if name == "haproxy":
            config = HAPROXY.format(**known, door=doors.haproxy(self.place, door), scheme=door.scheme)
            return [tools.find("haproxy"), "-db", "-f", self.write("haproxy.cfg", config)]
        fields = "" if name == "nginx, bare" else NGINX_FIELDS.format(**known)
        flags, beside = doors.nginx(self.place, door)
        master = "off" if alone else "on"
        config = NGINX.format(**known, user=user(), master=master, fields=fields, flags=flags, door=beside)
        return self.nginx_command(f"{file}.conf", config)

    def write(self, name: str, text: str) -> str:
        (self.place / name).write_text(text)
        return str(self.place / name)

    def prove(self, running: Running) -> None:
        """The origin must have seen what this system is there to do."""
        if running.name == "nginx, bare":
            return
        chain = CHAINS.get(running.name, [])
        fields = ("1" if "headers" in chain else "") + ("2" if "more-headers" in chain else "")
        # What a proxy calls the version that it received is its own affair (RFC 9110, section 7.6.3).
        expected = rf"/{TARGETS.get(running.name, 'new')}/told {fields} 127\.0\.0\.1 [123](\.[01])? "
        with running.connections(1, "told") as client:
            told = client.one_by_one()[0].decode()
        if not re.match(expected, told):
            raise machine.Failed(f"the origin saw {told!r} instead of {expected!r}")

    @contextlib.contextmanager
    def listening(
        self,
        name: str,
        port: int,
        command: list[str],
        address_space: int | None = None,
        door: doors.Door = doors.CLEAR,
    ) -> Iterator[Running]:
        def confine() -> None:
            if address_space is not None:
                resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))

        said = self.place / f"{name.replace(',', '').replace(' ', '-')}.said"
        with said.open("wb") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, cwd=self.place, preexec_fn=confine
            )
        try:
            wait_for(process, port, said)
            yield Running(name, port, process, self.place, door)
        finally:
            end(process)


def addresses(count: int) -> list[str]:
    """Loopback addresses that tell members apart; all of them are the one origin."""
    return [f"127.0.0.{number}" for number in range(1, count + 1)]


def user() -> str:
    """Name and group of who runs the benchmark."""
    return f"{pwd.getpwuid(os.geteuid()).pw_name} {grp.getgrgid(os.getegid()).gr_name}"


def pinned(core: int, command: list[str]) -> list[str]:
    return [tools.find("taskset"), "-c", str(core), *command]


def wait_for(process: subprocess.Popen, port: int, said: pathlib.Path) -> None:
    by = time.monotonic() + PATIENCE
    while time.monotonic() < by:
        if process.poll() is not None:
            text = said.read_text(errors="replace").strip()
            raise machine.Failed(f"ended with {process.returncode}: {text[-400:]}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise machine.Failed(f"does not listen after {PATIENCE:.0f} s")


def end(process: subprocess.Popen) -> None:
    """Asks, then insists; by its id alone."""
    for ask in (process.terminate, process.kill):
        if process.poll() is not None:
            return
        ask()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
