"""The shipped records."""

import json
from typing import Any

from reference_impl.files import ROOT


def record(name: str) -> dict[str, Any]:
    """Return ``data/results/<name>.json``."""
    found: dict[str, Any] = json.loads((ROOT / "data/results" / f"{name}.json").read_text("utf-8"))
    return found
