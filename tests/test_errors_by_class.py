"""What another library says changes with its version: errors are judged by their class and their errno."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from explorer.launch import remote
from explorer.search import engines
from explorer.study import StudySpec
from trainables.errors import StudyError

ROOT = Path(__file__).parents[1]
WINGS = ("explorer", "trainables", "search_spaces", "dashboards")


def by_text(tree):
    """Lines in which the text of a caught error decides: a comparison, a search or a question about it."""
    for handler in (node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler) and node.name):
        for node in ast.walk(handler):
            asked = []
            if isinstance(node, ast.Compare):
                asked = [node.left, *node.comparators]
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                questions = {"startswith", "endswith", "find"}
                asked = [node.func.value] if node.func.attr in questions else []
                asked += node.args if node.func.attr in ("search", "match", "fullmatch") else []
            if any(is_text(one, handler.name) for one in asked):
                yield node.lineno


def is_text(node, name):
    """`str(error)`, `repr(error)` or `error.args[...]`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("str", "repr"):
        return any(isinstance(one, ast.Name) and one.id == name for one in node.args)
    return isinstance(node, ast.Subscript) and ast.unparse(node.value) == f"{name}.args"


@pytest.mark.parametrize(
    "line",
    ["if 'x' in str(error): pass", "if PATTERN.search(str(error)): pass", "str(error).startswith('x')",
     "if error.args[0] == 'x': pass"],
)  # fmt: skip
def test_a_decision_by_text_is_found(line):
    assert list(by_text(ast.parse(f"try:\n    pass\nexcept ValueError as error:\n    {line}\n"))) == [4]


def test_nothing_in_the_product_decides_by_the_text_of_an_error():
    files = [path for wing in WINGS for path in sorted((ROOT / wing).rglob("*.py"))]
    found = [(str(path.relative_to(ROOT)), line) for path in files for line in by_text(ast.parse(path.read_bytes()))]
    assert len(files) > 100
    assert found == []


@pytest.mark.parametrize("said", ["Version mismatch: The cluster was started with:\n    Ray: 2.1", "no server for you"])
def test_a_cluster_that_refuses_a_client_is_one_sentence_whatever_it_says(monkeypatch, tmp_path, said):
    def refuse(**_options):
        raise RuntimeError(said)

    monkeypatch.setattr(remote, "knock", lambda _address: None)
    monkeypatch.setattr("ray.init", refuse)
    with pytest.raises(StudyError) as caught, remote._client("ray://127.0.0.1:1", tmp_path, []):
        pass
    told = " ".join(said.split())
    assert str(caught.value) == f"{told}. Through ray:// both ends need the same Python and Ray; or use " + (
        "`heteroakd submit`."
    )


def test_a_grid_without_a_point_left_asks_nobody_to_stop():
    import optuna

    spec = StudySpec.parse({"space": {"kmm": [True, False]}, "num_trials": 2, "sampler": "grid", "probes": 0})
    study = optuna.create_study(direction="maximize")
    for number in range(2):
        study.sampler = engines.sampler(spec, number=number)
        trial = study.ask()
        trial.suggest_categorical("kmm", [True, False])
        study.tell(trial, 0.5)
    assert {trial.params["kmm"] for trial in study.trials} == {True, False}
