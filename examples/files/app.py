"""An application that decides who gets a file, and leaves the sending to the gateway in front of it."""

import pathlib
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PRIVATE = pathlib.Path(__file__).resolve().parent / "private"


class App(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        kind, _, name = self.path.lstrip("/").partition("/")
        # Here a real one looks at the session. What the name says is no danger: the root keeps it in.
        self.send_response(200)
        if kind == "download":
            self.send_header("X-Accel-Redirect", "/protected/" + name)
        else:
            self.send_header("X-Sendfile", f"{PRIVATE}/{name}")
        self.send_header("Content-Disposition", "attachment")
        self.send_header("X-Robots-Tag", "noindex")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), App).serve_forever()
