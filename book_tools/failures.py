"""What a user can fix is reported in one last line, without a traceback."""

import errno
import signal
import sys
from collections.abc import Callable

#: A full disk, in the words of the libraries that hide its error number.
_FULL = ("No space left on device", "database or disk is full")


class BookError(Exception):
    """The work cannot continue; the message tells the user why."""


class BuildFailed(BookError):  # noqa: N818 — an outcome, not a broken tool
    """The pages have errors, or a file of the book is missing."""


class NotebookFailed(BookError):  # noqa: N818
    """A notebook cannot be shown: a cell failed, wrote to stderr or took too long."""


def _causes(error: BaseException) -> list[BaseException]:
    """Return an error and everything that it was raised from, or while handling."""
    causes: list[BaseException] = []
    step: BaseException | None = error
    while step is not None and step not in causes:
        causes.append(step)
        step = step.__cause__ or step.__context__
    return causes


def is_full_disk(error: BaseException) -> bool:
    """Say whether an error comes from a full disk."""
    return any(
        (isinstance(cause, OSError) and cause.errno == errno.ENOSPC)
        or any(words in str(cause) for words in _FULL)
        for cause in _causes(error)
    )


def told(error: BaseException, command: str) -> tuple[str, int]:
    """Return a message whose last line is what to do, and an exit status.

    Raises:
        BaseException: the error itself, if it is a fault of the program and not of its input.
    """
    if isinstance(error, KeyboardInterrupt):
        return f"{command}: interrupted; run `{command}` again", 130
    if is_full_disk(error):
        return f"{command}: the disk is full; free 1 GB and run `{command}` again", 1
    if isinstance(error, ModuleNotFoundError):
        return f"{command}: {error.name} is not installed; run `make env`", 1
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        return f"{command}: {error.strerror or error}{where}", 1
    if isinstance(error, NotebookFailed):
        return f"{error}\n{command}: {str(error).split(':')[0]} failed, see above", 1
    if isinstance(error, BookError):
        return f"{command}: {error}", 1
    raise error


def explained(work: Callable[[], str], command: str) -> int:
    """Do the work and print the line that it returns; report a failure as ``told`` does.

    Returns an exit status. SIGTERM ends the work as Ctrl-C does.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's & has it ignored
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        print(work())
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 — told raises what no input caused
        message, status = told(error, command)
        print(message, file=sys.stderr)
        return status
    return 0
