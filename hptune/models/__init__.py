"""Networks: Keras and mathematics, nothing else; this room could be lifted out whole."""

from __future__ import annotations
