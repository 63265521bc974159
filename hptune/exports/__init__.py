"""A run in the files of other tools, so that their views open it; read without a lock, changing nothing of the run."""

from __future__ import annotations
