"""`reproduce.sh`: a new environment with a bundle's versions, its trial again, and the two mIoUs beside each other.

Nothing foreign is in the script but version numbers, quoted: what the study says is read from the bundle's files. Our
own package has no place on an index from which the script could take it: the reader says where it is.
"""

from __future__ import annotations

import re
import shlex
from typing import Any

EXACT, NEAR = 1e-6, 5e-3  # of mIoU: CPU against CPU, and where a GPU's kernels are on either side
_VERSION = re.compile(r"[\w.!]+")
_OURS = "heteroakd-explorer"


def script(provenance: dict[str, Any]) -> str:
    """The shell script of a bundle.

    Args:
        provenance: what `provenance.json` holds.
    """
    versions = provenance["versions"]
    pins = [f"{name}=={_public(found)}" for name, found in versions.items() if name not in ("python", _OURS) and found]
    commit = re.sub(r"[^\w-]", "", str(provenance.get("commit") or "")) or "unknown"
    return _SCRIPT.format(
        python=_public(versions["python"]),
        commit=commit,
        version=_public(versions.get(_OURS) or "unknown"),
        pins=" ".join(shlex.quote(pin) for pin in pins),
        prepare=_PREPARE,
        compare=_COMPARE.format(exact=EXACT, near=NEAR),
    )


def _public(found: str) -> str:
    """A version without its local part, which no index has: 2.13.0+cpu -> 2.13.0."""
    match = _VERSION.match(found)
    return match[0] if match else "0"


_SCRIPT = """#!/bin/sh
# Trains best.yaml again in a new environment and compares its mIoU with the one in metrics.json. Exit code 0: equal.
#
#   SOURCE=... sh reproduce.sh      or      HETEROAKD=... sh reproduce.sh
#
# SOURCE      what to install heteroakd-explorer from: a folder with its source, a wheel, or a URL of either
#             (the original: version {version}, commit {commit})
# HETEROAKD   an installed heteroakd command to use as it is; nothing is installed then
# DATA        where the data set is now, spelt as in best.yaml: a folder, NAME:PATH, ...
# TEACHER     where the teacher's weights are now, if best.yaml names a file (teacher_checkpoint)
# PYTHON      the interpreter; the original had {python}
# WORK        folder of the environment and the trial; default: reproduced, beside this file
set -eu
fail() {{ echo "$1" >&2; exit 2; }}
if [ -z "${{HETEROAKD:-}}${{SOURCE:-}}" ]; then
    fail "Name in SOURCE a folder, wheel or URL of heteroakd-explorer, or in HETEROAKD an installed heteroakd."
fi
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
work=${{WORK:-$here/reproduced}}
mkdir -p -- "$work"
work=$(CDPATH= cd -- "$work" && pwd)
if [ -z "${{HETEROAKD:-}}" ]; then
    [ -d "$work/venv" ] || "${{PYTHON:-python3}}" -m venv "$work/venv"
    "$work/venv/bin/python" -m pip install {pins} "$SOURCE"
    HETEROAKD=$work/venv/bin/heteroakd
fi
command -v "$HETEROAKD" >/dev/null || fail "No command $HETEROAKD. Name an installed heteroakd in HETEROAKD."
HETEROAKD=$(readlink -f "$(command -v "$HETEROAKD")")
python=$(dirname "$HETEROAKD")/python
if [ ! -x "$python" ] && read -r shebang _ <"$HETEROAKD"; then python=${{shebang#??}}; fi
"$python" -c "import yaml" 2>/dev/null || fail "No Python of $HETEROAKD is found. Name a source in SOURCE."
HETEROAKD_PATH=$here/code${{HETEROAKD_PATH:+:$HETEROAKD_PATH}}
export HETEROAKD_PATH
"$python" - "$here" "$work" <<'PY'
{prepare}PY
"$HETEROAKD" train "$work/trial.yaml" --out "$work/trial"
"$python" - "$here" "$work" <<'PY'
{compare}PY
"""

_PREPARE = """import json, os, shutil, sys
from pathlib import Path
import yaml
from trainables.yamls import load_yaml
here, work = map(Path, sys.argv[1:])
config = load_yaml(here / "best.yaml")
if os.environ.get("DATA"):
    data = os.environ["DATA"]
    config["data"] = str(Path(data).resolve()) if Path(data).is_dir() else data
if os.environ.get("TEACHER"):
    config["teacher_checkpoint"] = str(Path(os.environ["TEACHER"]).resolve())
if json.loads((here / "provenance.json").read_text(encoding="utf-8")).get("device") == "cpu":
    config["device"] = "cpu"  # where it is exact
(work / "trial.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
log = work / "trial" / "log.jsonl"
if log.is_file() and json.loads(log.read_text(encoding="utf-8").splitlines()[-1])["step"] >= config["steps"]:
    shutil.rmtree(log.parent)  # finished before; an interrupted one goes on
"""

_COMPARE = """import json, sys
from pathlib import Path
here, work = map(Path, sys.argv[1:])
wanted = json.loads((here / "metrics.json").read_text(encoding="utf-8"))["miou"]
found = json.loads((work / "trial" / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])["miou"]
on_cpu = json.loads((here / "provenance.json").read_text(encoding="utf-8")).get("device") == "cpu"
within = {exact} if on_cpu else {near}
equal = abs(found - wanted) <= within
print(f"mIoU {{found:.8f}}, in the bundle {{wanted:.8f}}: " + ("reproduced" if equal else f"NOT within {{within}}"))
sys.exit(0 if equal else 1)
"""
