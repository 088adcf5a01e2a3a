"""The writers of the pages are no package of ours: they stand in docs/."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))
