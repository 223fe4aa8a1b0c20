"""What a user can fix is reported in one last line, without a traceback."""

import errno
import signal
import sys
from collections.abc import Callable


class BookError(Exception):
    """The work cannot continue; the message tells the user why."""


def _is_full_disk(error: BaseException | None) -> bool:
    """Say whether an error, or one from which it was raised, comes from a full disk."""
    if error is None:
        return False
    full = getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error)
    return full or _is_full_disk(error.__cause__ or error.__context__)


def failure_message(error: BaseException, command: str) -> str:
    """Return a message whose last line is what to do; raise a fault of the program itself."""
    if isinstance(error, KeyboardInterrupt):
        return f"{command}: interrupted; run `{command}` again"
    if _is_full_disk(error):
        return f"{command}: the disk is full; free 1 GB and run `{command}` again"
    if isinstance(error, ModuleNotFoundError):
        return f"{command}: {error.name} is not installed; run `make env`"
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        return f"{command}: {error.strerror or error}{where}"
    if not isinstance(error, BookError):
        raise error
    return f"{command}: {error}"


def explained(work: Callable[[], str], command: str) -> int:
    """Do the work and print the line that it returns, or why it failed; return an exit status.

    SIGTERM ends the work as Ctrl-C does.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's & has it ignored
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        print(work())
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 — others are raised again
        print(failure_message(error, command), file=sys.stderr)
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    return 0
