"""The project's folder, and files written whole: without torch, which takes seconds to import."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all; a text in UTF-8."""
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
