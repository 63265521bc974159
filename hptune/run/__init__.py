"""One folder on disk for each run: the journal is the truth, everything else can be made again from it."""

from __future__ import annotations
