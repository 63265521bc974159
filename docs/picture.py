"""Draw the README's picture of the terminal from a finished run.

Usage, beside the runs: hptune search configs/customers.yaml --max-trials 6; hptune ensemble;
python docs/picture.py customers docs/search.svg
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console

import hptune
from hptune.console.screen import say, show_summary

WIDTH = 96


def main() -> None:
    """Print a run as the terminal shows it, and export what was printed."""
    run, target = sys.argv[1:3]
    summary = hptune.report(run)
    console = Console(record=True, width=WIDTH, force_terminal=True, highlight=False, file=io.StringIO())
    say(console, f"$ hptune search configs/{run}.yaml --max-trials {summary.proposed}", "bold")
    show_summary(console, summary)
    # Fonts would be fetched from elsewhere by whoever looks at the picture.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", console.export_svg(title="hptune"), flags=re.DOTALL)
    Path(target).write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
