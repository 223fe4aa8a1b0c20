"""Serve a built site on this machine, below a sub-path, as a plain static host does."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@contextmanager
def served(site: Path, prefix: str = "/some/sub-path/") -> Iterator[str]:
    """Serve the folder from a thread; yield the address of its root, which ends with a slash.

    Everything else is the site's own 404.html, if there is one, with status 404.
    """
    missing = site / "404.html"

    class Handler(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        if missing.is_file():
            error_message_format = missing.read_text("utf-8").replace("%", "%%")

        def translate_path(self, path: str) -> str:
            inside = path.startswith(prefix)
            return super().translate_path(path.removeprefix(prefix) if inside else "no such file")

        def log_message(self, format: str, *args: Any) -> None:
            """Stay quiet: what fails is found in the browser."""

    handler = partial(Handler, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}{prefix}"
        finally:
            server.shutdown()
