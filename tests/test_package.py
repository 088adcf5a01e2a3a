"""What the wheel holds: four packages at its top level, every subpackage listed, the embedded data complete."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from trainables.extras import EXTRAS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PYPROJECT["tool"]["setuptools"]
PROJECT = PYPROJECT["project"]
OPTIONAL = {name: [Requirement(line) for line in lines] for name, lines in PROJECT["optional-dependencies"].items()}
DEPENDENCIES = [Requirement(line) for line in PROJECT["dependencies"]]
PINS = [Requirement(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
CALLED = {
    "google.protobuf": "protobuf",
    "grpc": "grpcio",
    "mlflow": "mlflow-skinny",
    "aiohttp": "ray",
}  # else as imported


def test_the_version_that_bundles_name_is_the_one_of_this_tree():
    name, wanted = PYPROJECT["project"]["name"], PYPROJECT["project"]["version"]
    assert version(name) == wanted, "an older install: run `pip install -e . --no-deps`"


def test_every_package_is_listed_and_the_top_level_is_the_four():
    tops = ("explorer", "trainables", "search_spaces", "dashboards")
    found = {
        ".".join(path.parent.relative_to(ROOT).parts) for top in tops for path in (ROOT / top).rglob("__init__.py")
    }
    assert set(SETUPTOOLS["packages"]) == found
    assert {name.partition(".")[0] for name in SETUPTOOLS["packages"]} == set(tops)


def test_the_embedded_data_is_package_data():
    shipped = {path for pattern in SETUPTOOLS["package-data"]["trainables.data"] for path in _data().glob(pattern)}
    files = {path for path in (_data() / "earth").rglob("*") if path.is_file()}
    assert shipped == files
    assert len(files) == 2 * (173 + 40 + 42) + 766 + 1


def test_nothing_that_moves_fast_is_capped():
    free = {"torch", "torchvision", "timm", "segmentation-models-pytorch", "dash"}
    found = {each.name: str(each.specifier) for each in [*DEPENDENCIES, *OPTIONAL["dashboard"]] if each.name in free}
    assert found.keys() == free
    assert all(bound.startswith(">=") and "," not in bound for bound in found.values()), found


def test_each_extra_brings_the_modules_that_its_verbs_ask_for():
    for extra, modules in EXTRAS.items():
        brought = {each.name for each in OPTIONAL[extra]}
        assert {CALLED.get(module, module) for module in modules} <= brought, extra
        assert not (brought - {"ray", "torch"}) & {each.name for each in DEPENDENCIES}, extra


def test_all_and_test_hold_every_extra_that_a_verb_needs():
    (whole,) = OPTIONAL["all"]
    assert whole.extras == EXTRAS.keys() | {"notebook"}
    assert Requirement("heteroakd-explorer[all]") in OPTIONAL["test"]


def test_every_direct_dependency_is_pinned_once_for_every_python_and_within_its_bounds():
    direct = {each.name: each for each in [*DEPENDENCIES, *(one for lines in OPTIONAL.values() for one in lines)]}
    for name, wanted in direct.items():
        if name == "heteroakd-explorer":
            continue
        for python in PYTHONS:
            found = [_pinned(pin) for pin in _pins(name, python)]
            assert len(found) == 1 or not _asked(wanted, python), (name, python)
            assert all(wanted.specifier.contains(pin, prereleases=True) for pin in found), (name, python, found)


def test_constraints_pin_by_number_and_name_no_place():
    text = (ROOT / "constraints.txt").read_text()
    assert "://" not in text
    assert "--" not in text
    for pin in PINS:
        assert [each.operator for each in pin.specifier] == ["=="], str(pin)
        assert "+" not in str(pin.specifier), str(pin)  # a build of this machine
        assert not pin.extras, str(pin)


def test_no_package_is_pinned_twice_for_one_python():
    for name in {pin.name for pin in PINS}:
        assert all(len(_pins(name, python)) <= 1 for python in PYTHONS), name


def _pins(name, python):
    return [pin for pin in PINS if canonicalize_name(pin.name) == canonicalize_name(name) and _asked(pin, python)]


def _pinned(pin):
    return next(iter(pin.specifier)).version


def _asked(requirement, python):
    place = {"python_version": python, "sys_platform": "linux", "platform_machine": "x86_64"}
    return requirement.marker is None or requirement.marker.evaluate(place)


def _data():
    return ROOT / "trainables" / "data"
