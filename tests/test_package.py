"""What the wheel holds: four packages at its top level, every subpackage listed, the embedded data complete."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PYPROJECT["tool"]["setuptools"]


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
    assert len(files) == 2 * (173 + 40 + 42) + 1


def _data():
    return ROOT / "trainables" / "data"
