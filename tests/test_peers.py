"""The record of other tools: its shape, what needs no tool, and a tool that is not there."""

import json
import sys

import pytest

from benchmarks import peers

RECORD = json.loads(peers.PATH.read_text(encoding="utf-8"))


def test_the_record_says_of_each_file_what_is_counted_and_of_each_tool_where_it_ran():
    """Oracle: the issue's list of keys and of tools; the tools in the order of the command."""
    keys = {"peer", "setting", "bytes", "test", "counted"}
    assert all(row.keys() == keys for row in RECORD["rows"])
    assert all(row["bytes"] > 0 and 0 <= row["test"] <= 100 for row in RECORD["rows"])
    assert len({(row["peer"], row["setting"]) for row in RECORD["rows"]}) == len(RECORD["rows"])
    assert [*dict.fromkeys(row["peer"] for row in RECORD["rows"])] == [*peers.PEERS]
    made = RECORD["provenance"]["peers"]
    assert made.keys() == peers.PEERS.keys()
    for name, provenance in made.items():
        assert provenance["command"] == f"python -m benchmarks.peers {name}"
        told = {"date", "device", "instruction_sets", "threads", "versions", "seed"}
        assert told <= provenance.keys()


def test_what_needs_no_other_tool_is_measured_again(tmp_path, monkeypatch):
    """Oracle: the shipped record; if a record that it quotes has changed, `ours` is to be run."""
    found = tmp_path / "peers.json"
    found.write_text(json.dumps(RECORD))
    monkeypatch.setattr(peers, "PATH", found)
    assert peers.main(["ours"]) == 0
    assert json.loads(found.read_text(encoding="utf-8"))["rows"] == RECORD["rows"]


@pytest.mark.parametrize(
    ("name", "module"),
    [("nncodec", "nncodec"), ("nncf", "nncf"), ("torch_pruning", "torch_pruning")],
)
def test_a_tool_that_is_not_installed_is_one_line(name, module, tmp_path, monkeypatch, capsys):
    """Oracle: Python's own error for a module that cannot be imported."""
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(peers, "PATH", tmp_path / "peers.json")
    monkeypatch.setenv("NNCF_CI", "1")  # which the module sets, for good
    assert peers.main([name]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{name}: ")
    assert line.endswith("see the head of benchmarks/peers.py")
    assert module in line
    assert not peers.PATH.exists()
