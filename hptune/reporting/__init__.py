"""A run told to a person, a pull request or a machine; read from its folder without a lock, changing nothing."""

from __future__ import annotations
