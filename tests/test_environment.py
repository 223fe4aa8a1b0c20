"""pyproject.toml, requirements.lock and environment.yml say the same."""

import re
import sysconfig
import tomllib
from importlib.metadata import version
from itertools import chain, product
from pathlib import Path

import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from book_tools.kept_torch import KEPT

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
ENTRIES = [entry.replace("\\\n", " ") for entry in re.findall(r"^\w(?:.*\\\n)*.*$", LOCK, re.M)]
PINS = [Requirement(entry.split("--hash")[0].strip()) for entry in ENTRIES]


def test_each_named_package_is_pinned_as_asked_on_each_system():
    """Oracle: packaging's own specifiers and markers; Linux, macOS, Windows; each Python."""
    systems = {"linux": "posix", "darwin": "posix", "win32": "nt"}
    pythons = [f"3.{n}" for n in range(30) if f"3.{n}" in SpecifierSet(PROJECT["requires-python"])]
    assert len(pythons) == 4
    extras = PROJECT["optional-dependencies"].values()
    wanted = map(Requirement, chain(PROJECT["dependencies"], *extras))
    for requirement, system, python in product(wanted, systems, pythons):
        where = {"sys_platform": system, "os_name": systems[system]}
        where |= {"python_version": python, "python_full_version": f"{python}.0"}
        pins = [
            pin
            for pin in PINS
            if pin.name == requirement.name.lower()
            and (pin.marker is None or pin.marker.evaluate(default_environment() | where))
        ]
        assert len(pins) == 1, (requirement.name, system, python, pins)
        (specifier,) = pins[0].specifier
        assert specifier.operator == "=="
        assert requirement.specifier.contains(specifier.version), pins[0]


def test_every_pin_has_hashes_and_nothing_else_is_in_the_lock():
    """Oracle: the file's own grammar; an address or an option would be another line."""
    for entry in ENTRIES:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry
    kept = [line for line in LOCK.splitlines() if line and not line.startswith(("#", "    --hash"))]
    assert len(kept) == len(ENTRIES)
    assert "://" not in LOCK


def test_the_versions_that_the_issue_fixes():
    """Oracle: the project's brief."""
    pinned = {pin.name: str(pin.specifier) for pin in PINS}
    assert pinned["torch"] == "==2.14.1"
    assert pinned["torchvision"] == "==0.29.1"
    assert pinned["nbval"] == "==0.11.0"
    assert pinned["jupyter-book"].startswith("==1.0.")


def test_conda_users_get_the_same_pins():
    """Oracle: the lock itself, which environment.yml hands to pip, and pyproject.toml's range."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert environment["dependencies"] == [
        f"python{PROJECT['requires-python']}",
        "pip",
        {"pip": ["-r requirements.lock"]},
    ]


def test_this_environment_is_the_locked_one():
    """Oracle: the installed distributions' own metadata; torch may be lent by another Python."""
    lent = (Path(sysconfig.get_path("purelib")) / "torch").is_symlink()
    for pin in PINS:
        if lent and KEPT.fullmatch(pin.name):
            continue
        if pin.marker is None or pin.marker.evaluate():
            assert pin.specifier.contains(version(pin.name).split("+")[0]), pin
