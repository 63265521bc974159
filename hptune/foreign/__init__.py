"""Experiments of other tools, read as plain data and told in our words; what cannot be told is named with its line."""

from __future__ import annotations
