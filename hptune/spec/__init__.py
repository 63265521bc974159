"""YAML to a typed experiment, with every fault at its line."""

from __future__ import annotations

from hptune.spec.experiment import DataSpec, Experiment, SourceFiles, SplitSpec
from hptune.spec.loading import LoadedExperiment, load_experiment

__all__ = ["DataSpec", "Experiment", "LoadedExperiment", "SourceFiles", "SplitSpec", "load_experiment"]
