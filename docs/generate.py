"""Write the generated parts of README.md and docs/: figures from benchmarks/*.json, verbs and fields from the code.

A page says where a part belongs, and may hold any text around it:

    <!-- from benchmarks/search.json: search_table -->
    (written here)
    <!-- end -->

The names are those of `writers/table.py`. Run: `make pages`, or `python docs/generate.py [--check]`, which writes
nothing and exits with 1 where a page is older than what it shows.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from writers import pages
from writers.markers import PageError

ROOT = Path(__file__).parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the generated parts of README.md and docs/.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where a page is older")
    check = parser.parse_args().check
    try:
        older = pages.older(ROOT)
    except PageError as error:
        print(f"Error: {error}")
        return 1
    for page, text in older.items():
        if not check:
            page.write_text(text, encoding="utf-8")
        print(f"{page.relative_to(ROOT)}: {'older than what it shows; run make pages' if check else 'written'}")
    for sentence in pages.unused(ROOT):
        print(f"Note: {sentence}")
    return 1 if check and older else 0


if __name__ == "__main__":
    sys.exit(main())
