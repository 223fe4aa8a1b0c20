"""What several tests of exercises assert of a report."""

from collections.abc import Sequence

from exercises import report


def assert_failed(name: str, answer: object, starts: Sequence[str]) -> None:
    """Assert that the claims which an answer fails are those that begin with ``starts``."""
    crossed = [line for line in report(name, answer).lines if line.startswith("✗ ")]
    assert len(crossed) == len(starts), crossed
    for line, start in zip(crossed, starts, strict=True):
        assert line.startswith(f"✗ {start}"), (line, start)
