"""Files to arrays: tables read and understood, split, prepared by what the training rows teach."""

from __future__ import annotations
