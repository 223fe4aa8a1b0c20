"""reference_impl.measuring.roofline against its closed form and this machine's own speeds."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_impl.measuring import Latency, attainable, least_time, model_cost
from reference_impl.measuring.roofline import (
    RESULT,
    Machine,
    batch_latency,
    measure_bandwidth,
    measure_peak,
)
from reference_impl.models import ConvStudent, ConvTeacher, LeNet5, LeNet300

speeds = st.floats(1e3, 1e15)


@pytest.mark.equation("eq-cost-roofline")
@given(peak=speeds, bandwidth=speeds)
def test_the_two_limits_meet_at_the_ridge(peak, bandwidth):
    """Oracle: the closed form; below the ridge the slope is the bandwidth, above it is zero."""
    ridge = Machine(peak=peak, memory=bandwidth, cache=bandwidth).ridge
    at = attainable(ridge, peak=peak, bandwidth=bandwidth)
    assert at == pytest.approx(peak)
    assert attainable(ridge / 2, peak=peak, bandwidth=bandwidth) == pytest.approx(at / 2)
    assert attainable(ridge * 2, peak=peak, bandwidth=bandwidth) == peak


@pytest.mark.equation("eq-cost-time")
@given(operations=st.floats(1, 1e12), moved=st.floats(1, 1e12), peak=speeds, bandwidth=speeds)
def test_the_least_time_is_the_operations_at_the_attainable_speed(
    operations, moved, peak, bandwidth
):
    """Oracle: the roofline, which is the same bound divided the other way round."""
    speed = attainable(operations / moved, peak=peak, bandwidth=bandwidth)
    found = least_time(operations, moved, peak=peak, bandwidth=bandwidth)
    assert found == pytest.approx(operations / speed)


def test_no_network_of_the_record_is_faster_than_its_arithmetic_allows():
    """Oracle: the peak of the same record; least_time gives the bound."""
    shipped = json.loads(RESULT.read_text(encoding="utf-8"))
    machine = Machine(**shipped["machine"])
    models = {"LeNet300": LeNet300(), "LeNet5": LeNet5()}
    models |= {"teacher": ConvTeacher(), "student": ConvStudent()}
    for point in shipped["points"]:
        operations = 2 * point["batch"] * model_cost(models[point["model"]], (1, 28, 28)).macs
        took = operations / point["speed"]
        assert took >= least_time(operations, 0, peak=machine.peak, bandwidth=machine.cache)


def test_the_speeds_are_counts_over_the_time_taken(monkeypatch):
    """Oracle: by hand; each call is said to take two seconds."""
    calls = []

    def two_seconds(function, **settings):
        function()
        calls.append(settings)
        return Latency(2.0, 0.0, 1, 1, "cpu")

    monkeypatch.setattr("reference_impl.measuring.roofline.measure_latency", two_seconds)
    assert measure_peak(8, min_run_time=0.5) == 2 * 8**3 / 2
    assert measure_bandwidth(4 * 10, min_run_time=0.5) == 2 * 40 / 2
    assert measure_bandwidth(43) == 2 * 40 / 2
    assert batch_latency(LeNet300().double(), 3) == 2.0
    assert [settings["threads"] for settings in calls] == [1] * 4
    assert [settings["min_run_time"] for settings in calls] == [0.5, 0.5, 0.2, 0.2]


def test_speeds_and_times_are_in_the_order_of_what_they_measure():
    """Oracle: a product of 2 × 2 is all overhead; any memory copies at 0.1 GB/s to 10 TB/s."""
    quick = {"min_run_time": 0.02}
    assert measure_peak(2, **quick) < measure_peak(256, **quick)
    assert 1e8 < measure_bandwidth(2**20, **quick) < 1e13
    model = LeNet5().eval()
    assert batch_latency(model, 64, **quick) > batch_latency(model, 1, **quick)
