"""Sphinx extension: the page with a network in it, which fetches nothing.

The directive ``{network-page}`` becomes the markup of this folder, its scripts, and what they read:
the files of the networks, and examples to choose from.
"""

import base64
import json
from pathlib import Path
from string import Template
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from book_tools.files import ROOT
from reference_impl.data import IMAGES_MAGIC, LABELS_MAGIC, read_idx
from reference_impl.folders import CLASS_NAMES, FASHION_MNIST

FILES = {"clothes": ROOT / "data/deployed/fashion.bin", "digits": ROOT / "data/deployed/mnist.bin"}
SCRIPTS = [Path(__file__).parent / f"{name}.js" for name in ("decoder", "network", "page")]
#: Strokes of the digits, through places of a grid of three columns and five rows: a b c / d e f / …
DIGITS = "bdjnlfb bn dbfmo abfhlnm bjl/hn caghlnm bgjnlhg ac/cn bdhlnjhfb fbdhfn"
_MARKUP = Path(__file__).parent / "page.html"


def code_lines(script: Path) -> int:
    """Return the number of lines that hold code: no comments, no empty lines."""
    lines, comment, n = script.read_text("utf-8").splitlines(), False, 0
    for line in map(str.strip, lines):
        comment = comment or line.startswith("/*")
        n += bool(line) and not comment and not line.startswith("//")
        comment = comment and not line.endswith("*/")
    return n


def clothes() -> list[tuple[str, str]]:
    """Return each class of Fashion-MNIST and its first test image: 784 bytes, in base64."""
    images = read_idx(FASHION_MNIST / "t10k-images-idx3-ubyte.gz", IMAGES_MAGIC)
    labels = read_idx(FASHION_MNIST / "t10k-labels-idx1-ubyte.gz", LABELS_MAGIC)
    first = [images[(labels == i).argmax()] for i in range(len(CLASS_NAMES))]
    return [
        (name, _base64(image.tobytes())) for name, image in zip(CLASS_NAMES, first, strict=True)
    ]


def page() -> str:
    """Return the HTML: the markup, and one script with all that it needs."""
    rows = [_row(f"the file of {name}", path) for name, path in FILES.items()]
    rows += [_row(path.name, path, code_lines(path)) for path in SCRIPTS]
    files = {name: _base64(path.read_bytes()) for name, path in FILES.items()}
    read = {
        "FILES": files,
        "EXAMPLES": {"clothes": clothes(), "digits": list(enumerate(DIGITS.split()))},
    }
    data = (f"const {name} = {json.dumps(value)};\n" for name, value in read.items())
    scripts = (script.read_text("utf-8") for script in SCRIPTS)
    return Template(_MARKUP.read_text("utf-8")).substitute(
        sizes="\n".join(rows), script="".join([*data, *scripts])
    )


class NetworkPage(SphinxDirective):
    """Puts the HTML into the page."""

    def run(self) -> list[nodes.Node]:
        """Return it as it is."""
        for path in (*SCRIPTS, _MARKUP, *FILES.values()):
            self.env.note_dependency(str(path))
        return [nodes.raw("", page(), format="html")]  # type: ignore[no-untyped-call]


def _row(what: str, path: Path, lines: int | None = None) -> str:
    n = path.stat().st_size
    return f'<tr><th scope="row">{what}</th><td>{lines or "–"}</td><td>{n:,}</td></tr>'


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_directive("network-page", NetworkPage)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
