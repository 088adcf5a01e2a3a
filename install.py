"""Install this project's tested set into the environment whose Python runs this: `install.py '.[all]'`.

uv takes seconds where pip takes minutes. It is told what pip is told: indices, folders, constraints, certificates.
Where it cannot be had, or fails, pip does it.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

PIP = [sys.executable, "-m", "pip"]
WITH = ["--quiet", "--constraint", "constraints.txt"]
RANK = ("global", "install", ":env:")
"""Where a setting of pip may stand; the last one holds."""


def settings() -> dict[str, list[str]]:
    """Of pip, from its files and the environment: values by name."""
    said = subprocess.run([*PIP, "config", "list"], capture_output=True, encoding="utf-8").stdout
    found: dict[tuple[int, str], list[str]] = {}
    for line in said.splitlines():
        place, _, value = line.partition("=")
        section, _, name = place.rpartition(".")
        if section in RANK and value[:1] in "'\"":
            found[RANK.index(section), name] = str(ast.literal_eval(value)).split()
    return {name: values for (_, name), values in sorted(found.items())}


def for_uv(known: dict[str, list[str]]) -> dict[str, str]:
    """pip's settings as uv's environment."""
    named = {
        "UV_DEFAULT_INDEX": ("index-url", " "),
        "UV_INDEX": ("extra-index-url", " "),
        "UV_FIND_LINKS": ("find-links", ","),
        "UV_CONSTRAINT": ("constraint", " "),
        "UV_INSECURE_HOST": ("trusted-host", " "),
        "UV_NO_INDEX": ("no-index", " "),
        "SSL_CERT_FILE": ("cert", " "),
    }
    found = {name: between.join(known[setting]) for name, (setting, between) in named.items() if setting in known}
    return {**found, "UV_INDEX_STRATEGY": "unsafe-best-match"}  # as pip does: the best version of all indices


def main(wanted: str) -> int:
    uv = Path(sys.executable).with_name("uv")
    command = [uv, "pip", "install", "--python", sys.executable, *WITH, "--editable", wanted]
    ready = subprocess.run([*PIP, "install", *WITH, "uv"]).returncode == 0
    if ready and subprocess.run(command, env={**os.environ, **for_uv(settings())}).returncode == 0:
        return 0
    return subprocess.run([*PIP, "install", *WITH, "--no-compile", "--editable", wanted]).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
