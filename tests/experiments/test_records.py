"""experiments.records: exit codes, resuming, provenance."""

import json
from dataclasses import dataclass

import pytest
import torch

from experiments import records
from experiments.records import make_missing, open_record, read_record, run_recorder, write_record


@dataclass(frozen=True)
class Run:
    name: str
    seed: int


def saved(path, found):
    return lambda: write_record(path, found, "python -m book_tools.none", (0,))


def test_a_run_that_the_record_holds_is_not_made_again(tmp_path):
    """Oracle: the runs that were asked for, and the file after each."""
    path, made = tmp_path / "x.json", []
    found = read_record(path)

    def measured(run):
        made.append(run)
        assert len(read_record(path)["runs"]) == len(made) - 1  # those before are on disk
        return {"test": 90.0 + run.seed}

    runs = [Run("a", 0), Run("a", 1)]
    make_missing(found, runs, measured, saved(path, found))
    again = read_record(path)
    make_missing(again, [*runs, Run("b", 0)], lambda run: {"test": 1.0}, saved(path, again))
    assert made == runs
    assert [run["test"] for run in read_record(path)["runs"]] == [90.0, 91.0, 1.0]


def test_a_path_that_cannot_be_written_fails_before_the_first_run(tmp_path):
    """Oracle: the list of runs made."""
    (tmp_path / "file").write_text("")
    path, made = tmp_path / "file" / "x.json", []
    found = read_record(tmp_path / "x.json")
    with pytest.raises(OSError, match="file"):
        make_missing(found, [Run("a", 0)], lambda run: made.append(run) or {}, saved(path, found))
    assert not made


def test_the_provenance_names_command_seeds_and_versions(tmp_path):
    """Oracle: the versions of the modules; seeds in order, each once."""
    path = tmp_path / "x.json"
    write_record(path, read_record(path, rows=[1]), "python -m here", [3, 1, 3], other="7")
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["rows"] == [1]
    provenance = found["provenance"]
    assert (provenance["command"], provenance["seed"]) == ("python -m here", [1, 3])
    assert provenance["versions"]["torch"] == torch.__version__
    assert provenance["versions"]["other"] == "7"
    assert provenance["threads"] == torch.get_num_threads()


def test_seeds_are_those_of_the_runs_that_have_one(tmp_path):
    """Oracle: by hand; the shipped network has no seed."""
    path = tmp_path / "x.json"
    runs = [{"seed": 4}, {"seed": None}, {"seed": 0}, {"seed": 4}]
    write_record(path, {"runs": runs}, "python -m here")
    assert json.loads(path.read_text(encoding="utf-8"))["provenance"]["seed"] == [0, 4]


def test_an_opened_record_writes_what_was_put_into_it(tmp_path):
    """Oracle: the file, read again."""
    path = tmp_path / "x.json"
    found, write = open_record(path, "python -m here", other="7")
    found["runs"].append({"seed": 2})
    write()
    again, _ = open_record(path, "python -m here")
    assert again["runs"] == [{"seed": 2}]
    assert again["provenance"]["seed"] == [2]
    assert again["provenance"]["versions"]["other"] == "7"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (None, 0, ""),
        (KeyboardInterrupt(), 130, "the same command continues"),
        (OSError("no room"), 1, "recorder: no room"),
        (ValueError("bad"), 1, "recorder: bad"),
    ],
)
@pytest.mark.usefixtures("one_thread")
def test_exit_codes_and_messages(error, code, said, *, monkeypatch, capsys, tmp_path):
    """Oracle: the conventions of a shell: 130 for an interruption, one line for an error."""
    monkeypatch.setattr(records, "load_dataset", lambda: "data")
    seen = []

    def record(path, data):
        seen.append((path, data))
        if error is not None:
            raise error

    path = tmp_path / "x.json"
    assert run_recorder("python -m book_tools.recorder", None, path, record, []) == code
    assert seen == [(path, "data")]
    assert said in capsys.readouterr().err
    assert run_recorder("python -m a.recorder", None, path, record, ["--path", "other"]) == code
    assert str(seen[-1][0]) == "other"
