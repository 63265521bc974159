"""hptune: tune Keras models from one YAML file, or from Python.

    import hptune

    summary = hptune.search("experiment.yaml")
    print(summary.best.score)

Importing this package is cheap: what a function needs is imported when it is called, and TensorFlow, Keras and
scikit-learn by the rooms that train.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

__all__ = [
    "HptuneError",
    "__version__",
    "check",
    "compare",
    "convert",
    "ensemble",
    "evaluate",
    "export",
    "init",
    "make_baseline",
    "next_experiment",
    "plan",
    "predict",
    "report",
    "report_page",
    "runs",
    "schema",
    "search",
]

_AFTERWARDS = ("compare", "convert", "export", "make_baseline", "next_experiment", "report_page")
_ANSWERING = ("evaluate", "predict")

if TYPE_CHECKING:
    from hptune.afterwards import compare, convert, export, make_baseline, next_experiment, report_page
    from hptune.answering import evaluate, predict
    from hptune.api import check, ensemble, init, plan, report, runs, schema, search
    from hptune.errors import HptuneError


def __getattr__(name: str) -> Any:
    """Import a function of the API when it is first asked for."""
    if name == "HptuneError":
        from hptune.errors import HptuneError

        return HptuneError
    if name in __all__:
        from hptune import afterwards, answering, api

        rooms = dict.fromkeys(_AFTERWARDS, afterwards) | dict.fromkeys(_ANSWERING, answering)
        return getattr(rooms.get(name, api), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
