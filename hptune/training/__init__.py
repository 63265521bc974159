"""Training: one trial with Keras, and the worker processes that it happens in."""

from __future__ import annotations
