"""YAML is read one way: UTF-8, without objects, and a key that stands twice is refused with both lines."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml

from explorer.fields import assigned
from explorer.study import StudySpec
from trainables.config import TrialConfig
from trainables.data.catalogue import open_dataset
from trainables.errors import ConfigError, DataError
from trainables.yamls import load_yaml, parse_yaml

ROOT = Path(__file__).parents[2]
FOLDERS = ("explorer", "trainables", "search_spaces", "dashboards", "benchmarks", "docs")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("lr: 0.1\nsteps: 3\nlr: 0.2\n", "has the key 'lr' twice, on line 1 and on line 3. Keep one."),
        ("a:\n  x: 1\n  x: 2\n", "has the key 'x' twice, on line 2 and on line 3. Keep one."),
        ("a: [{x: 1, y: 2, x: 3}]\n", "has the key 'x' twice, on line 1 and on line 1. Keep one."),
        ("1: a\n0x1: b\n", "has the key 1 twice, on line 1 and on line 2. Keep one."),
        ("a: 1\n'a': 2\n", "has the key 'a' twice, on line 1 and on line 2. Keep one."),
        ("yes: 1\ntrue: 2\n", "has the key True twice, on line 1 and on line 2. Keep one."),
        ("é: 1\né: 2\n", "has the key 'é' twice, on line 1 and on line 2. Keep one."),
        ("a: &a {x: 1}\nb:\n  <<: *a\n  <<: *a\n", "has the key '<<' twice, on line 3 and on line 4. Keep one."),
    ],
)
def test_a_key_that_stands_twice_is_refused_with_both_lines(tmp_path, text, sentence):
    path = tmp_path / "some.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_yaml(path)
    assert str(caught.value) == f"{path} {sentence}"


@pytest.mark.parametrize(
    "text",
    [
        "a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  x: 3\n",  # what overrides a merged key is no repetition
        "c: &c {x: 0}\na: {inner: &b {<<: *c, x: 1}}\nd: {<<: *b, x: 2}\n",
        "a: {x: 1}\nb: {x: 1}\n",
        "1: a\n'1': b\n",
        "? [1, 2]\n: a\n",
    ],
)
def test_what_only_looks_like_a_repetition_is_read_as_ever(text):
    try:
        expected = yaml.safe_load(text)
    except yaml.YAMLError:
        with pytest.raises(yaml.YAMLError):
            parse_yaml(text)
    else:
        assert parse_yaml(text) == expected


def test_every_file_that_users_write_is_read_so(tmp_path):
    twice = tmp_path / "twice.yaml"
    twice.write_text("name: a\nnum_trials: 3\nname: b\n")
    with pytest.raises(ConfigError, match=r"twice\.yaml has the key 'name' twice, on line 1 and on line 3"):
        StudySpec.load(twice)
    twice.write_text("method: task\nlr: 0.1\nlr: 0.2\n")
    with pytest.raises(ConfigError, match=r"has the key 'lr' twice, on line 2 and on line 3"):
        TrialConfig.load(twice)
    (tmp_path / "dataset.yaml").write_text("classes: [a]\nname: x\nclasses: [a, b]\n")
    with pytest.raises(DataError, match=r"dataset\.yaml has the key 'classes' twice, on line 1 and on line 3"):
        open_dataset(str(tmp_path))
    with pytest.raises(ConfigError, match=r"--set own has the key 'a' twice"):
        assigned(["own={a: 1, a: 2}"])


def test_a_text_that_is_no_yaml_is_refused_with_the_remedy_which_works():
    with pytest.raises(ConfigError, match=r"--set fold_by needs a YAML value, got '\{scene\}_\*'. Quote a text"):
        assigned(["fold_by={scene}_*"])
    assert assigned(["fold_by='{scene}_*'"]) == {"fold_by": "{scene}_*"}


def test_no_other_loader_is_in_the_product():
    loaders = {"safe_load", "load", "full_load", "unsafe_load", "safe_load_all", "load_all"}
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                of_yaml = isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "yaml"
                assert not of_yaml or node.attr not in loaders or path.name == "yamls.py", f"{path}:{node.lineno}"
    assert "yaml.safe_load" not in (ROOT / "explorer/bundle/reproduce.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_names_beyond_ascii_are_read_in_any_locale(tmp_path, encoding):
    path = tmp_path / "some.yaml"
    path.write_bytes("classes: [Straße, 空]\n".encode(encoding))
    assert load_yaml(path) == {"classes": ["Straße", "空"]}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("- a\n- b\n", "must hold a mapping of fields to values, got list."),
        ("", "must hold a mapping of fields to values, got NoneType."),
        ("a: [1, 2\n", "is not YAML: "),
        ("a: !!python/object/apply:os.getcwd []\n", "is not YAML: "),
    ],
)
def test_a_file_that_is_no_mapping_is_refused_by_name(tmp_path, text, reason):
    path = tmp_path / "trial.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_yaml(path)
    assert str(caught.value).startswith(f"{path} {reason}")
    assert "\n" not in str(caught.value)


def test_a_missing_or_binary_file_is_refused_by_name(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml cannot be read: No such file or directory\.$"):
        load_yaml(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(ConfigError, match=r"binary\.yaml is not YAML: "):
        load_yaml(tmp_path / "binary.yaml")
