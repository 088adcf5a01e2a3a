from __future__ import annotations

from typer.testing import CliRunner

from explorer.cli.app import app


def check(*arguments):
    return CliRunner().invoke(app, ["data", "check", *map(str, arguments)])


def test_a_sound_set_exits_with_zero_and_leaves_its_sheet(layout, tmp_path):
    root = layout("camvid", tmp_path / "camvid")
    found = check(f"camvid:{root}", "--split", "val", "--out", tmp_path / "sheet.png")
    assert found.exit_code == 0
    assert "val: 2 samples" in found.output
    assert "train:" not in found.output
    assert (tmp_path / "sheet.png").stat().st_size > 1000


def test_a_fault_exits_with_one_and_is_named(layout, tmp_path):
    root = layout("camvid", tmp_path / "camvid")
    (root / "valannot" / "0001.png").write_bytes(b"")
    found = check(f"camvid:{root}")
    assert found.exit_code == 1
    assert f"{root}/valannot/0001.png is no readable PNG file." in found.output
