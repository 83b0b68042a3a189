"""Hits: what an answer costs that a cache has, in Weir's memory and on its disk, in nginx's proxy_cache and in Varnish.

Every run has a cache of its own, which the proof fills: the origin must have been asked for each file once when the run is
over, or its figure does not count. Directories lie on a tmpfs where there is one, nginx's and Weir's alike.
"""

import contextlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

import doors
import machine
import systems
import tools

SYSTEMS = ["nginx", "nginx, tcp_nopush", "varnish", "weir, memory", "weir, disk"]

# Varnish is several processes, which valgrind does not follow.
COUNTED = ["nginx", "weir, memory", "weir, disk"]

# Bytes of the files, which all of a run's systems must have.
SIZES = {"1k": 1 << 10, "100k": 100 << 10}

WEIR = systems.WEIR_HEAD + """
[cache.kept]
{store}
[pool.origin]
member = ["http://127.0.0.1:{origin}"]
max-idle-connections = 1024
[site.main]
via = true
route = [{{ pool = "origin", cache = "kept" }}]
"""

STORES = {
    "weir, memory": 'memory = "64MiB"',
    "weir, disk": 'memory = "off"\ndisk = {{ path = "{store}/weir", size = "64MiB" }}',
}

# Hits are files that are open already. Which way they leave is what was found to cost nginx least for each size; with
# tcp_nopush, which many sites have, both sizes cost it more. It tells what its cache did, as Weir and Varnish do unasked.
NGINX = systems.NGINX_PROXY + """
    {sending}
    open_file_cache max=1024 inactive=600s; open_file_cache_valid 600s;
    proxy_cache_path {store}/nginx levels=1:2 keys_zone=kept:10m max_size=64m inactive=600s use_temp_path=off;
    add_header X-Cache-Status $upstream_cache_status;
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_cache kept;
    {fields}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{ proxy_pass http://origin; }}
        {location}
    }}
}}
"""

# What the origin is told, which hits have nothing of.
FIELDS = systems.NGINX_FIELDS.replace('add_header Via "1.1 nginx";', "")

SENDING = {"nginx": "sendfile on;", "nginx, tcp_nopush": "sendfile on; tcp_nopush on;"}
READ = "location = /new/1k { proxy_pass http://origin; sendfile off; }"

VARNISH = """
vcl 4.1;
backend origin {{ .host = "127.0.0.1"; .port = "{origin}"; }}
"""

# A log of its own is how the origin is known to have been asked; nobody else here has one.
ORIGIN = systems.NGINX_ORIGIN + """
    access_log {place}/asked combined;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location /new/ {{ alias {place}/; add_header Cache-Control "max-age=86400"; }}
    }}
}}
"""


class Bench(systems.Bench):
    """The systems as caches, before an origin of their own."""

    def __init__(self, bench: systems.Bench, store: pathlib.Path):
        super().__init__(bench.place, bench.weir, bench.cores)
        self.asked, self.store = bench.place / "asked", store

    @contextlib.contextmanager
    def origin(self) -> Iterator[None]:
        self.origin_port = machine.free_port()
        with self.nginx("cached-origin", self.origin_port, ORIGIN):
            yield

    @contextlib.contextmanager
    def start(
        self,
        name: str,
        wrapper: tuple[str, ...] = (),
        address_space: int | None = None,
        door: doors.Door = doors.CLEAR,
    ) -> Iterator[systems.Running]:
        """As there; raises machine.Failed as well when the origin was asked for more than it had to be."""
        shutil.rmtree(self.store, ignore_errors=True)
        self.store.mkdir()
        # The origin goes on writing to the file that it has open.
        os.truncate(self.asked, 0)
        with super().start(name, wrapper, address_space, door) as running:
            yield running
        asked = len(self.asked.read_text().splitlines())
        if asked != len(SIZES):
            raise machine.Failed(f"the origin was asked {asked} times for {len(SIZES)} files")

    def command(self, name: str, port: int, door: doors.Door, alone: bool) -> list[str]:
        file = f"cached-{name.replace(', ', '-')}"
        known = {"place": self.place, "name": file, "port": port, "origin": self.origin_port}
        if name.startswith("weir"):
            config = WEIR.format(**known, store=STORES[name].format(store=self.store))
            return [str(self.weir), "run", "-c", self.write(f"{file}.toml", config)]
        if name == "varnish":
            return varnish(self.write(f"{file}.vcl", VARNISH.format(**known)), self.store, port)
        config = NGINX.format(
            **known, user=systems.user(), master="off" if alone else "on", store=self.store, sending=SENDING[name],
            location=READ if name == "nginx" else "", fields=FIELDS.format(**known),
        )
        return self.nginx_command(f"{file}.conf", config)

    def prove(self, running: systems.Running) -> None:
        """Fills the cache, and sees that what comes from it is what came from the origin."""
        for what, length in SIZES.items():
            with running.connections(1, what) as client:
                bodies = [client.one_by_one()[0] for _ in range(3)]
            if any(body != b"x" * length for body in bodies):
                raise machine.Failed(f"{what} was answered by other bytes")


@contextlib.contextmanager
def staged(bench: systems.Bench) -> Iterator[Bench]:
    """Where the systems can be started."""
    memory = pathlib.Path("/dev/shm")
    place = memory if os.access(memory, os.W_OK) else bench.place
    with tempfile.TemporaryDirectory(prefix="weir-bench-", dir=place) as directory:
        stage = Bench(bench, pathlib.Path(directory) / "store")
        with stage.origin():
            yield stage


def varnish(vcl: str, directory: pathlib.Path, port: int) -> list[str]:
    """In memory, with as many threads as there are connections, and without jail: it has no rights to give up here."""
    tools.also("varnishd", "varnish")
    return [
        tools.find("varnishd"), "-F", "-j", "none", "-n", str(directory), "-f", vcl, "-a", f"127.0.0.1:{port}",
        "-s", "malloc,64m", "-p", "thread_pools=1", "-p", "thread_pool_min=100", "-p", "thread_pool_max=200",
    ]
