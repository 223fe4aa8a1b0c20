"""A learner's code is stopped if it runs too long, and cannot end the notebook."""

import _thread
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any, TypeVar
from unittest.mock import patch

T = TypeVar("T")

LIMIT = 20.0
"""Seconds for the examination of one answer."""

_TICK = 0.05
"""Seconds between two attempts to stop code that caught the first one."""


class TooLongError(BaseException):
    """Code ran longer than it may; not an Exception, which a learner's code might catch."""


def limited(call: Callable[[], T], seconds: float = LIMIT) -> T:
    """Return what ``call`` returns, or stop it.

    The code is stopped in the main thread only, and between two steps of Python: a single long
    operation of torch is waited for. Where the system has no interval timer, a thread takes its
    place.

    Raises:
        TooLongError: if the call takes longer than ``seconds``.
        KeyboardInterrupt: if the learner interrupts it.
    """
    if threading.current_thread() is not threading.main_thread():
        return call()
    here, trace = sys._getframe(), sys.gettrace()
    end = time.monotonic() + seconds
    watching = True

    def stop(_signal: int, frame: FrameType | None) -> None:
        if not watching:
            return
        if time.monotonic() < end:  # the signal of the thread is also that of Ctrl-C
            raise KeyboardInterrupt
        while frame is not None and frame is not here:
            frame.f_trace = again  # a bare `except:` caught this? Its next line raises again
            frame = frame.f_back
        sys.settrace(lambda *_: None)
        raise TooLongError

    def again(_frame: FrameType, event: str, _argument: object) -> Any:
        if event == "line":
            raise TooLongError
        return again

    with _ticking(stop, seconds):
        try:
            return call()
        finally:
            watching = False
            sys.settrace(trace)


@contextmanager
def _ticking(stop: Callable[[int, FrameType | None], None], seconds: float) -> Iterator[None]:
    """Let a signal call ``stop`` after ``seconds``, and then again and again."""
    timer = hasattr(signal, "setitimer")
    number = signal.SIGALRM if timer else signal.SIGINT
    before, done = signal.signal(number, stop), threading.Event()

    def tick() -> None:
        wait = seconds
        while not done.wait(wait):
            _thread.interrupt_main(number)
            wait = _TICK

    try:
        if timer:
            signal.setitimer(signal.ITIMER_REAL, seconds, _TICK)
        else:
            threading.Thread(target=tick, daemon=True).start()
        yield
    finally:
        done.set()
        if timer:
            signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(number, before)


@contextmanager
def contained() -> Iterator[None]:
    """Ignore warnings, which are errors in the book's notebooks, and a notebook's ``exit()``.

    What IPython calls ``exit`` does not raise SystemExit but ends the kernel: here it raises. A
    notebook's output remains open, too: a closed one would take what all later cells print.
    """
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()

    def leave() -> None:
        raise SystemExit

    with warnings.catch_warnings(), ExitStack() as stack:
        warnings.simplefilter("ignore")
        if shell is not None:
            stack.enter_context(patch.object(shell, "ask_exit", leave, create=True))
            stack.enter_context(patch.object(sys.stdout, "close", lambda: None))
        yield
