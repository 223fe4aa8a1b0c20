"""reference_impl.measuring.latency against calls whose duration is known."""

import subprocess
import sys
import time

import pytest
import torch

from reference_impl.measuring import Latency, compare_latencies, device_name, measure_latency


def test_a_sleep_is_measured_as_long_as_it_is():
    """Oracle: time.sleep, which never returns early; the device has a name on any system."""
    found = measure_latency(lambda: time.sleep(0.01), min_run_time=0.2)
    assert 0.01 <= found.median < 0.1
    assert found.runs >= 1
    assert 0 <= found.iqr < 0.1
    assert found.device == device_name() == device_name().strip() != ""


@pytest.mark.parametrize("threads", [1, 2])
def test_the_call_runs_with_the_stated_threads_and_they_are_restored(threads):
    """Oracle: torch.get_num_threads inside and after the call."""
    before = torch.get_num_threads()
    seen = set()
    found = measure_latency(
        lambda: seen.add(torch.get_num_threads()), threads=threads, min_run_time=0.01
    )
    assert seen == {threads}
    assert found.threads == threads
    assert torch.get_num_threads() == before


def test_functions_take_turns_and_are_put_in_order():
    """Oracle: the sequence of names that the functions write down, and two sleeps far apart."""
    seen = []
    waits = {"long": 0.008, "short": 0.002}
    functions = {n: lambda n=n: (seen.append(n), time.sleep(waits[n])) for n in waits}
    found = compare_latencies(functions, rounds=3, min_run_time=0.01)
    turns = [name for i, name in enumerate(seen) if i == 0 or seen[i - 1] != name]
    assert turns == ["long", "short"] * 3
    assert found["short"] < found["long"]


@pytest.mark.parametrize(("more", "counts"), [({}, 2.0), ({"summary": min}, 1.0)])
def test_the_median_round_counts_unless_another_is_asked_for(more, counts, monkeypatch):
    """Oracle: by hand, the middle one of three made-up measurements, and the smallest."""
    made_up = iter([3.0, 1.0, 2.0])
    monkeypatch.setattr(
        "reference_impl.measuring.latency.measure_latency",
        lambda *_, **__: Latency(next(made_up), 0.0, 1, 1, "cpu"),
    )
    assert compare_latencies({"only": print}, rounds=3, **more) == {"only": counts}


def test_nothing_is_written_to_stderr():
    """Oracle: a fresh interpreter; torch's benchmark package warns there if nvcc lacks a GPU."""
    code = (
        "from reference_impl.measuring.latency import measure_latency\n"
        "measure_latency(lambda: None, min_run_time=0.01)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
