"""The runner: a record does not depend on where runs are made, and an error is one line."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path

import pytest
import tiny_experiment as tiny
import torch

from experiments import __main__ as command
from experiments import runner, workers
from experiments.records import Record, alone
from reference_impl.files import ROOT

RESULTS = ROOT / "data" / "results"
EXPERIMENTS = command.EXPERIMENTS


@pytest.fixture(autouse=True)
def tiny_is_listed(monkeypatch):
    monkeypatch.setattr(command, "EXPERIMENTS", {"tiny": "tiny_experiment"})
    monkeypatch.setattr(workers, "fashion_mnist", lambda: None)
    monkeypatch.setattr(runner, "fashion_mnist", lambda: None)
    monkeypatch.setattr(tiny, "PLAN", dict(tiny.PLAN))


@pytest.fixture
def quick_processes(monkeypatch):
    """Let new processes be forked from a server, which imports torch once."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["experiments.workers", "distributed"])
    monkeypatch.setattr(workers, "get_context", lambda _: context)


def make(path, *options):
    return command.main(["tiny", "--path", str(path), *options])


def read(path, *, times=False):
    record = json.loads(path.read_text(encoding="utf-8"))
    return record if times else json.dumps(record | {"runs": [
        {k: v for k, v in row.items() if k != "seconds"} for row in record["runs"]]})  # fmt: skip


@pytest.fixture
def sequential(tmp_path):
    """Return the record that one process makes, run after run."""
    assert make(tmp_path / "sequential.json") == 0
    return read(tmp_path / "sequential.json")


def test_a_record_holds_all_runs_in_order_and_where_they_come_from(sequential):
    """Oracle: by hand; what is planned last depends on all that is planned before."""
    found = json.loads(sequential)
    assert [(row["number"], row["double"]) for row in found["runs"]] == [
        (number, 2 * number) for number in range(6)
    ]
    assert (found["best"], found["factor"]) == ({"of all": {"number": [10]}}, 2)
    provenance = found["provenance"]
    assert provenance["command"] == "python -m experiments tiny"
    assert (provenance["seed"], provenance["threads"], provenance["unit"]) == ([0, 1], 1, "none")
    assert {"python", "torch", "numpy", "sources"} == set(provenance["versions"])
    assert provenance["versions"]["torch"] == torch.__version__
    assert provenance["versions"]["sources"] == workers.fingerprint()["sources"]
    assert provenance["device"]
    assert torch.backends.cpu.get_cpu_capability() in provenance["instruction_sets"]


@pytest.mark.usefixtures("quick_processes")
def test_a_worker_that_is_killed_changes_nothing(tmp_path, sequential, monkeypatch, capsys):
    """Oracle: the sequential record, times aside; of two processes one kills itself in its run."""
    marker = tmp_path / "marker"
    monkeypatch.setitem(tiny.PLAN, 2, tiny.Run(2, 0, str(marker)))
    assert make(tmp_path / "parallel.json", "--workers", "2") == 0
    assert marker.exists()
    assert read(tmp_path / "parallel.json").replace(str(marker), "") == sequential
    assert capsys.readouterr().out.count("7/7 [") == 1


FAILURES = {
    "die": "RuntimeError: its worker died 2 times (out of memory?)",
    "raise": "ArithmeticError: no double of this",
}


@pytest.mark.usefixtures("quick_processes")
@pytest.mark.parametrize("how", FAILURES)
def test_a_run_that_fails_is_named_and_the_others_are_made(how, tmp_path, monkeypatch, capsys):
    """Oracle: the rows; the second call makes what failed, and nothing else."""
    path, options = tmp_path / "x.json", ["--workers", "2"] if how == "die" else []
    monkeypatch.setattr(tiny, "PLAN", {n: tiny.Run(n, how=how * (n == 1)) for n in range(3)})
    monkeypatch.setattr(runner, "TRIES", 2)
    assert make(path, *options) == 1
    assert [row["number"] for row in read(path, times=True)["runs"]] == [0, 2]
    assert "best" not in read(path)
    one, counted = capsys.readouterr().err.splitlines()
    assert f"Run(number=1, seed=None, how={how!r}) failed: {FAILURES[how]}" in one
    assert "1 of 3 runs failed; the same command tries them again" in counted
    monkeypatch.setitem(tiny.PLAN, 1, tiny.Run(1))
    assert make(path) == 0
    assert [row["number"] for row in read(path, times=True)["runs"]] == [0, 1, 2]
    assert capsys.readouterr().out.count("\n") == 2  # the number and the best


def full(record, plan, write=Record.write):
    """Let the disk be full when the third row is written."""
    if len(record.found["runs"]) == 3:
        raise OSError(28, "No space left on device")
    write(record, plan)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (130, "\ntiny: interrupted; the same command continues\n"),
        (1, "tiny: [Errno 28] No space left on device\n"),
    ],
)
def test_what_is_done_is_kept_and_the_same_command_continues(
    tmp_path, monkeypatch, capsys, code, said
):
    """Oracle: Ctrl-C in the third run, or a full disk; a mark that a second run would remove."""
    path = tmp_path / "x.json"
    with monkeypatch.context() as patch:
        if code == 130:
            patch.setitem(tiny.PLAN, 2, tiny.Run(2, 0, "interrupt"))
        else:
            patch.setattr(Record, "write", full)
        assert make(path) == code
    assert capsys.readouterr().err == said
    record = read(path, times=True)
    assert [row["number"] for row in record["runs"]] == [0, 1]
    record["runs"][0]["double"] = 1000
    path.write_text(json.dumps(record), encoding="utf-8")
    assert make(path) == 0
    assert [row["double"] for row in read(path, times=True)["runs"]] == [1000, 2, 4, 6, 8, 10]
    before = path.read_bytes()
    assert make(path) == 0
    assert path.read_bytes() == before


def test_ctrl_c_ends_all_processes_within_seconds(tmp_path):
    """Oracle: the operating system does not know the workers any more; one line is said."""
    code = (
        "import signal, sys, time, tiny_experiment as t\n"
        "from experiments import __main__ as m\n"
        "if __name__ == '__main__':\n"
        "    signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's & ignores it
        "    m.EXPERIMENTS = {'tiny': 'tiny_experiment'}\n"
        "    t.PLAN = {n: t.Run(n, how='sleep') for n in range(4)}\n"
        "    sys.exit(m.main(['tiny', '--workers', '2', '--path', 'x.json']))\n"
    )
    (tmp_path / "program.py").write_text(code)
    path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    with subprocess.Popen(
        [sys.executable, tmp_path / "program.py"],
        env=os.environ | {"PYTHONPATH": path},
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        while not (pids := list(tmp_path.glob("*.pid"))):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        _, error = process.communicate(timeout=10)  # one second, on a machine that is not busy
    assert process.returncode == 130
    assert error.strip() == "tiny: interrupted; the same command continues"
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.stem), 0)


def test_anew_grows_beside_the_record_and_takes_its_place_at_the_end(tmp_path, monkeypatch, capsys):
    """Oracle: the old file until the last run, the new one after it; other code cannot go on."""
    path = tmp_path / "x.json"
    path.write_text("the old record", encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setitem(tiny.PLAN, 5, tiny.Run(5, 1, "raise"))
        assert make(path, "--anew") == 1
    assert path.read_text(encoding="utf-8") == "the old record"
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(runner, "fingerprint", lambda: {"sources": "of another day", "data": ""})
        assert make(path, "--anew") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("x.json.part was begun by other code: delete it to begin again")
    assert make(path, "--anew") == 0
    assert len(read(path, times=True)["runs"]) == 6
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]


def test_a_second_command_leaves_the_record_to_the_first(tmp_path, capsys):
    """Oracle: one line, while a block holds the file; afterwards nothing but the record."""
    path = tmp_path / "x.json"
    with alone(path):
        assert make(path) == make(path, "--anew") == 1
    expected = f"tiny: {path}: another command is writing it\n"
    assert capsys.readouterr().err == 2 * expected
    assert make(path) == 0
    assert list(tmp_path.iterdir()) == [path]


ROWS = [dict(asdict(run), double=2 * run.number) for run in tiny.PLAN.values()]
SHAPES = {
    "not a record (": "no JSON",
    "it has no provenance": "[]",
    "'runs' must be rows with ['how', 'number', 'seed']": {"runs": [{"number": 1}]},
    "'runs' must be rows": {"runs": {"number": 1}},
    "'runs' must be rows with ": {"runs": [1]},
    "('best', 'of all') must be an object": {"best": [], "runs": ROWS},
    "'of all') must be an object": {"best": {"of all": 3}, "runs": ROWS},
    "'factor' is not as it is now": {"factor": 3},
    "'unit' is not as it is now": {"provenance": {"unit": "metre"}},
}


@pytest.mark.parametrize("said", SHAPES)
def test_a_record_of_another_shape_is_refused_and_left_as_it_is(tmp_path, capsys, said):
    """Oracle: one line, the same bytes."""
    path, content = tmp_path / "x.json", SHAPES[said]
    whole = {"provenance": {"unit": "none"}, "factor": 2}
    text = content if isinstance(content, str) else json.dumps(whole | content)
    path.write_text(text, encoding="utf-8")
    assert make(path) == 1
    (error,) = capsys.readouterr().err.splitlines()
    assert (said in error, error.startswith("tiny: ")) == (True, True)
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_each_shipped_record_holds_what_is_planned_and_would_be_continued(name):
    """Oracle: the plan, made from the rows themselves; MNIST is not here."""
    experiment = import_module(EXPERIMENTS[name])
    record = Record(RESULTS / f"{name}.json", "", getattr(experiment, "about", dict)())
    plan = runner.runs_of(experiment, record.found.get("runs", []))
    assert plan or name in ("mnist", "smallest")
    assert all(record.row(run) for run in plan)
    assert len(plan) == len(set(plan))


def test_a_path_that_cannot_be_written_is_found_before_the_first_run(tmp_path, monkeypatch, capsys):
    """Oracle: no run is made; a file stands where the folder should be."""
    monkeypatch.setattr(tiny.Run, "measured", lambda *_: pytest.fail("a run began"))
    (tmp_path / "file").write_text("")
    assert make(tmp_path / "file" / "x.json") == 1
    assert capsys.readouterr().err.startswith("tiny: [Errno ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tinny"], "unknown ['tinny'], choose from ['tiny']"),
        (["tiny", "--workers", "2", "--scheduler", "tcp://x:1"], "not allowed with argument"),
        (["tiny", "tiny", "--path", "x"], "--path is of one record"),
    ],
)
def test_a_wrong_command_is_one_line(arguments, said, capsys):
    """Oracle: the exit code of argparse, and the message."""
    with pytest.raises(SystemExit, match="2"):
        command.main(arguments)
    assert said in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(("before", "more"), [({}, ""), ({"date": "then"}, "; not stated")])
def test_rows_from_several_machines_and_versions_of_the_code_name_all(tmp_path, before, more):
    """Oracle: by hand; equal ones are named once; older records do not state their code."""
    record = Record(tmp_path / "x.json", "python -m experiments tiny", {})
    record.found["provenance"] = before
    for number, device in enumerate(("B", "A", "B")):
        found = {"device": device, "instruction_sets": "AVX2", "sources": f"{device} sources"}
        record.put(tiny.Run(number), {}, found)
    record.write([])
    provenance = read(record.path, times=True)["provenance"]
    assert (provenance["device"], provenance["instruction_sets"]) == ("A; B", "AVX2")
    assert provenance["versions"] == {"sources": f"A sources; B sources{more}"}


def test_the_fingerprint_sees_sources_and_data_and_a_worker_with_others_makes_no_run():
    """Oracle: the files that were hashed, by name; the fingerprint of each part, changed."""
    files = set()
    for part, patterns in workers.PROJECT.items():
        files |= {path.relative_to(ROOT) for pattern in patterns for path in ROOT.glob(pattern)}
        other = workers.fingerprint() | {part: "0"}
        with pytest.raises(ValueError, match=f"^the worker on .* has other {part}$"):
            workers.work(other, tiny.Run(1))
    named = ("reference_impl/data.py", "experiments/merging.py", "benchmarks/integer.py")
    assert set(map(Path, (*named, "data/checkpoints/teacher.safetensors"))) < files


@pytest.mark.usefixtures("quick_processes")
def test_a_cluster_makes_the_sequential_record(tmp_path, sequential, monkeypatch, capsys):
    """Oracle: the sequential record, times aside; a line for each thing that is wrong."""
    distributed = pytest.importorskip("distributed")
    dask = pytest.importorskip("dask")
    path = tmp_path / "cluster.json"

    def line(address):
        assert make(tmp_path / "wrong.json", "--scheduler", address) == 1
        (line,) = capsys.readouterr().err.splitlines()
        return line

    method = dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"})
    how = {"threads_per_worker": 1, "dashboard_address": None}
    with method, distributed.LocalCluster(2, **how) as cluster:
        address = cluster.scheduler_address
        assert make(path, "--scheduler", address) == 0
        assert read(path) == sequential
        with distributed.Client(address) as client:
            one, _ = client.scheduler_info()["workers"]
            client.run(tiny.pretend, workers=[one])
            assert line(address) == f"tiny: worker {one} has other data: check out the same commit"
            client.run(tiny.forget)
            assert "tiny: worker tcp://127.0.0.1:" in (error := line(address))
            assert "does not have the project (ModuleNotFoundError" in error
        monkeypatch.setattr(workers, "TIMEOUT", 1)
        cluster.scale(0)
        cluster.sync(cluster._correct_state)
        assert f"{address} has no worker: dask worker {address}" in line(address)
    assert f"no scheduler answers at {address}" in line(address)
