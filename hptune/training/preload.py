"""What the fork server imports: everything that workers need.

Meanwhile the collector rests: it would look through half a million objects again and again while they are made, a
fifth of the time. Frozen, they are not looked at in the workers either, whose memory so stays shared with the server.
"""

from __future__ import annotations

import gc
from importlib import import_module

MODULES = ("hptune.training.serving", "hptune.artifact")

gc.disable()
for _module in MODULES:
    import_module(_module)
gc.freeze()
gc.enable()
