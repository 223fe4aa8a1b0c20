"""The project's folder, and files written whole: without torch, which takes seconds to import."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(text, "utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
