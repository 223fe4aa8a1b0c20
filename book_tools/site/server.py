"""Serve a built site on this machine, below a sub-path, as a plain static host does."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class _Handler(SimpleHTTPRequestHandler):
    """Files below ``prefix``; the site's own 404.html for everything else, with status 404."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *args: Any, prefix: str, **kwargs: Any) -> None:
        self.prefix = prefix
        page = Path(kwargs["directory"]) / "404.html"
        if page.is_file():
            self.error_message_format = page.read_text("utf-8").replace("%", "%%")
        super().__init__(*args, **kwargs)

    def translate_path(self, path: str) -> str:
        inside = path.startswith(self.prefix)
        return super().translate_path(path.removeprefix(self.prefix) if inside else "no such file")

    def log_message(self, format: str, *args: Any) -> None:
        """Stay quiet: what fails is found in the browser."""


@contextmanager
def served(site: Path, prefix: str = "/some/sub-path/") -> Iterator[str]:
    """Serve the folder from a thread; yield the address of its root, which ends with a slash."""
    handler = partial(_Handler, prefix=prefix, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}{prefix}"
        finally:
            server.shutdown()
