"""What trials are made from: rows split once, arrays prepared once per preparation and mapped by every worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from hptune.data.arrays import write_arrays
from hptune.data.preparation import Preparation, TargetScale, fit_preparation, fit_target_scale
from hptune.data.split import Split, split_rows
from hptune.data.table import encode_target
from hptune.description import Description
from hptune.groundwork import Groundwork
from hptune.run.folder import STATE, RunFolder
from hptune.training.capacity import Extent, choose_capacity
from hptune.training.dials import dials_in_use, structure_of, trace_of
from hptune.training.dispatching import Kind
from hptune.training.job import Job
from hptune.trial import Proposal, Trial


@dataclass(frozen=True)
class Materials:
    """Split, preparations and jobs of one search.

    Attributes:
        ground: Experiment and data.
        folder: Of the run; arrays lie below it.
    """

    ground: Groundwork
    folder: RunFolder

    @cached_property
    def split(self) -> Split:
        """Which rows train, validate and test."""
        return split_rows(self.ground.dataset, self.ground.experiment.data.split)

    @cached_property
    def preparations(self) -> Mapping[str, Preparation]:
        """By the way in which numbers are prepared; fitted on training rows only."""
        dataset = self.ground.dataset
        train = dataset.frame[self.split.train]
        return {way: fit_preparation(train, dataset.columns, way) for way in self.ground.numeric_preparations}

    @cached_property
    def target_scale(self) -> TargetScale | None:
        """Mean and scale of a regression target on training rows."""
        dataset = self.ground.dataset
        if dataset.task != "regression":
            return None
        return fit_target_scale(dataset.frame[self.split.train], dataset.target)

    def write_arrays(self) -> None:
        """Prepare training and validation rows in every way that the search may ask for."""
        dataset = self.ground.dataset
        for way, preparation in self.preparations.items():
            arrays: dict[str, npt.NDArray[Any]] = {}
            for part, rows in (("train", self.split.train), ("validation", self.split.validation)):
                frame = dataset.frame[rows]
                numeric, codes = preparation.transform(frame)
                truth = encode_target(frame, dataset.target, dataset.labels)
                target = truth if self.target_scale is None else self.target_scale.standardize(truth)
                arrays |= {f"{part}.numeric": numeric, f"{part}.codes": codes}
                arrays |= {f"{part}.target": target, f"{part}.truth": truth}
            write_arrays(self._arrays(way), arrays)

    @cached_property
    def dials(self) -> frozenset[str]:
        """The dials that any trial of this search may turn."""
        return dials_in_use(self.ground.possible_values)

    def kind(self, proposal: Proposal, memory_bytes: int) -> Kind:
        """Say with which others a trial may be trained, and how many of them at a time.

        Args:
            proposal: What is to be trained.
            memory_bytes: That a worker may use.
        """
        settings = self.ground.space.resolve(proposal.values)
        structure = structure_of(settings)
        if settings["training.engine"] == "keras":
            return Kind(structure, structure, capacity=1)
        return Kind(structure, trace_of(settings), choose_capacity(settings, self.extent(settings), memory_bytes))

    def extent(self, settings: Mapping[str, Any]) -> Extent:
        """Say how large the data of a trial is."""
        preparation = self.preparations[settings["data.preparation.numeric"]]
        return Extent(
            inputs=preparation.numeric_width + sum(preparation.vocabulary_sizes),
            outputs=max(len(self.ground.dataset.labels), 1),
            trained=len(self.split.train),
            scored=len(self.split.validation),
        )

    def job(self, proposal: Proposal, paused: Trial | None = None) -> Job:
        """Say how a proposal is to be trained.

        Args:
            proposal: What to train.
            paused: Where it goes on; None to begin.

        Raises:
            RunDamagedError: If the state that it goes on from is not what was recorded.
        """
        dataset = self.ground.dataset
        settings = self.ground.space.resolve(proposal.values)
        preparation = self.preparations[settings["data.preparation.numeric"]]
        scale = self.target_scale
        folder = self.folder.trial(proposal.trial, 1 if paused is None else paused.epochs + 1)
        return Job(
            settings=settings,
            seed=proposal.seed,
            arrays=self._arrays(settings["data.preparation.numeric"]),
            numeric_width=preparation.numeric_width,
            vocabulary_sizes=preparation.vocabulary_sizes,
            task=dataset.task,
            labels=dataset.labels,
            positive=dataset.positive,
            objective=self.ground.objective,
            target_scale=(scale.mean, scale.scale) if scale is not None else None,
            folder=folder,
            prefix=self.folder.relative(folder),
            until=proposal.until,
            state=None if paused is None else self.folder.verified(paused.file(STATE)),
            dials=self.dials,
        )

    @cached_property
    def about(self) -> Description:
        """What every artifact of this search tells about itself."""
        dataset = self.ground.dataset
        return Description(
            task=dataset.task,
            target=dataset.target,
            labels=dataset.labels,
            positive=dataset.positive,
            scale=1.0 if self.target_scale is None else self.target_scale.scale,
            columns=tuple((column.name, column.kind) for column in dataset.columns),
            vocabularies=next(iter(self.preparations.values())).vocabularies,
            missing=tuple(self.ground.experiment.data.missing),
            id=dataset.id,
        )

    def rows(self, part: npt.NDArray[np.int64]) -> pl.DataFrame:
        """Return raw rows of the table, with the target."""
        return self.ground.dataset.frame[part]

    def _arrays(self, way: str) -> Path:
        return self.folder.arrays / way
