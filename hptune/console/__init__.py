"""The terminal: the only room that prints."""

from __future__ import annotations
