"""What trials are made from: rows split once, arrays prepared once per preparation and mapped by every worker.

A fold has rows of its own, and so does the last training of the winner on all rows that do not test; each such *place*
has its own preparation and arrays. The place of everything else has no name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from hptune.bootstrap import Guess, Yardstick
from hptune.data.arrays import write_arrays
from hptune.data.preparation import Preparation, TargetScale, fit_preparation, fit_target_scale
from hptune.data.split import Split, split_rows
from hptune.data.table import encode_target
from hptune.description import Description
from hptune.groundwork import Groundwork
from hptune.parts import REFIT, fold_of
from hptune.run.files import describe_file, make_folder, write_file
from hptune.run.folder import PREDICTIONS, STATE, RunFolder
from hptune.training.capacity import Extent, choose_capacity
from hptune.training.dials import dials_in_use, structure_of, trace_of
from hptune.training.job import Job
from hptune.training.queueing import Kind
from hptune.trial import Proposal, StoredFile, Trial

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating[Any]]


def place_of(part: str) -> str:
    """Name the rows that a part is trained on."""
    fold = fold_of(part)
    return part if part == REFIT else "" if fold is None else f"fold-{fold}"


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
        """Which rows train, validate and test; with folds, all rows that train or validate in any of them."""
        folds = self.ground.folds
        if not folds:
            return split_rows(self.ground.dataset, self.ground.experiment.data.split)
        train = _joined(rows for fold in folds for rows in (fold.train, fold.validation))
        return Split(train, _joined(fold.validation for fold in folds), folds[0].test)

    def split_of(self, place: str) -> Split:
        """Return the parts of a place."""
        fold = fold_of(place)
        if fold is not None:
            return self.ground.folds[fold - 1]
        if place == REFIT:
            return Split(_joined((self.split.train, self.split.validation)), self.split.validation, self.split.test)
        return self.split

    @cached_property
    def _preparations(self) -> dict[tuple[str, str], Preparation]:
        return {}

    def preparation(self, place: str, way: str) -> Preparation:
        """Return what was learned from the training rows of a place.

        Args:
            place: As `place_of` names it.
            way: In which numbers are prepared.
        """
        known = self._preparations
        if (place, way) not in known:
            dataset = self.ground.dataset
            known[place, way] = fit_preparation(dataset.frame[self.split_of(place).train], dataset.columns, way)
        return known[place, way]

    def preparation_of(self, proposal: Proposal) -> Preparation:
        """Return the preparation of what a proposal trains on."""
        settings = self.ground.space.resolve(proposal.values)
        return self.preparation(place_of(proposal.part), settings["data.preparation.numeric"])

    @cached_property
    def _target_scales(self) -> dict[str, TargetScale]:
        return {}

    def target_scale(self, place: str = "") -> TargetScale | None:
        """Return mean and scale of a regression target on the training rows of a place."""
        dataset, known = self.ground.dataset, self._target_scales
        if dataset.task != "regression":
            return None
        if place not in known:
            known[place] = fit_target_scale(dataset.frame[self.split_of(place).train], dataset.target)
        return known[place]

    def write_arrays(self, parts: Iterable[str]) -> None:
        """Prepare training and validation rows of parts in every way that the search may ask for."""
        for place in dict.fromkeys(map(place_of, parts)):
            for way in self.ground.numeric_preparations:
                self._write_arrays(place, way)

    def _write_arrays(self, place: str, way: str) -> None:
        dataset, split, scale = self.ground.dataset, self.split_of(place), self.target_scale(place)
        preparation = self.preparation(place, way)
        arrays: dict[str, npt.NDArray[Any]] = {}
        for part, rows in (("train", split.train), ("validation", split.validation)):
            frame = dataset.frame[rows]
            numeric, codes = preparation.transform(frame)
            truth = encode_target(frame, dataset.target, dataset.labels)
            target = truth if scale is None else scale.standardize(truth)
            arrays |= {f"{part}.numeric": numeric, f"{part}.codes": codes}
            arrays |= {f"{part}.target": target, f"{part}.truth": truth}
            if (weights := dataset.roles.of(rows).weights) is not None:
                arrays[f"{part}.weight"] = weights
        write_arrays(self._arrays(place, way), arrays)

    @cached_property
    def dials(self) -> frozenset[str]:
        """The dials that any trial of this search may turn."""
        return dials_in_use(self.ground.possible_values)

    def kind(self, proposal: Proposal, memory_bytes: int) -> Kind:
        """Say with which others a trial or part may be trained, and how many of them at a time.

        Args:
            proposal: What is to be trained.
            memory_bytes: That a worker may use.
        """
        settings = self.ground.space.resolve(proposal.values)
        place = place_of(proposal.part)
        # Slots side by side read the same rows, or as many of them.
        structure = f"{self._shape(settings, place)} {structure_of(settings)}"
        if settings["training.engine"] == "keras":
            return Kind(structure, structure, capacity=1)
        extent = self.extent(settings, place)
        return Kind(structure, trace_of(settings), choose_capacity(settings, extent, memory_bytes))

    def _shape(self, settings: Mapping[str, Any], place: str) -> tuple[Any, ...]:
        """Say what arrays of several places must have in common to be read side by side."""
        preparation, split = self.preparation(place, settings["data.preparation.numeric"]), self.split_of(place)
        widths = (preparation.numeric_width, preparation.vocabulary_sizes)
        return (*widths, len(split.train), len(split.validation))

    def extent(self, settings: Mapping[str, Any], place: str = "") -> Extent:
        """Say how large the data of a trial is, or of a part with rows of its own."""
        preparation, split = self.preparation(place, settings["data.preparation.numeric"]), self.split_of(place)
        return Extent(
            inputs=preparation.numeric_width + sum(preparation.vocabulary_sizes),
            outputs=max(len(self.ground.dataset.labels), 1),
            trained=len(split.train),
            scored=len(split.validation),
        )

    def job(self, proposal: Proposal, paused: Trial | None = None) -> Job:
        """Say how a trial or part is to be trained.

        Args:
            proposal: What to train.
            paused: Where it goes on; None to begin.

        Raises:
            RunDamagedError: If the state that it goes on from is not what was recorded.
        """
        dataset, part = self.ground.dataset, proposal.part
        settings = self.ground.space.resolve(proposal.values)
        preparation, scale = self.preparation_of(proposal), self.target_scale(place_of(part))
        folder = self.folder.trial(proposal.trial, 1 if paused is None else paused.epochs + 1, part)
        if part == REFIT:
            # Nothing is left to stop by; it ends where the proposal says.
            settings |= {"training.early_stopping": None}
        return Job(
            settings=settings,
            seed=proposal.seed,
            arrays=self._arrays(place_of(part), settings["data.preparation.numeric"]),
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
            shape=self._shape(settings, place_of(part)),
            has_folds=bool(self.ground.folds),
            keeps_last=part == REFIT,
        )

    def join_predictions(self, whole: Trial, parts: Sequence[Trial], before: Trial | None) -> Trial:
        """Add to a trial what its parts predicted together: for every validation row, each by those that held it out.

        Args:
            whole: The trial.
            parts: Of it.
            before: Its last pause, whose files are not touched.
        """
        if whole.score is None or len(parts) == 1:
            return whole
        joined = self.predictions_of(parts)
        folder = self.folder.trial(whole.number, 1 if before is None else before.epochs + 1)
        make_folder(folder)
        write_file(folder / PREDICTIONS, lambda stream: np.save(stream, joined))
        file = describe_file(folder / PREDICTIONS, self.folder.relative(folder / PREDICTIONS))
        return _with_file(whole, file)

    def predictions_of(self, parts: Sequence[Trial]) -> Floats:
        """Read what parts predicted, averaged where several predict a row; all validation rows must be covered.

        Raises:
            RunDamagedError: If a file is not what was recorded.
        """
        guesses = [self.guess(part) for part in parts]
        count = np.zeros(len(self.split.validation))
        total = np.zeros((len(count), *guesses[0].values.shape[1:]))
        for guess in guesses:
            total[guess.rows] += guess.values
            count[guess.rows] += 1
        mean: Floats = (total / count.reshape(-1, *[1] * (total.ndim - 1))).astype(np.float32)
        return mean

    def guess(self, part: Trial) -> Guess:
        """Read what a part predicted.

        Raises:
            RunDamagedError: If the file is not what was recorded.
        """
        return Guess(self._load(part.file(PREDICTIONS)), self.held_out(part.proposal.part))

    def guesses(self, trial: Trial) -> list[Guess]:
        """Read what a trial of the search predicted for validation rows, training by training; as `guess`."""
        return [
            Guess(self._load(file), self.held_out(proposal.part)) for proposal, file in self.trained(trial, PREDICTIONS)
        ]

    def trained(self, trial: Trial, name: str) -> list[tuple[Proposal, StoredFile]]:
        """Return what each network of a trial was trained from, with its file of a name."""
        parts = [trial.proposal] if trial.n == 1 else [trial.proposal.as_part(part) for part in self.ground.part_names]
        # What the parts predicted together stands before them.
        return list(zip(parts, trial.files_named(name)[-trial.n :], strict=True))

    def _load(self, file: StoredFile) -> Floats:
        values: Floats = np.load(self.folder.verified(file), allow_pickle=False)
        return values

    def held_out(self, part: str) -> Rows:
        """Return which of the validation rows a part predicts, by their places among them."""
        return np.searchsorted(self.split.validation, self.split_of(place_of(part)).validation)

    @cached_property
    def about(self) -> Description:
        """What every artifact of this search tells about itself."""
        dataset = self.ground.dataset
        scale = self.target_scale()
        way = self.ground.numeric_preparations[0]
        place = REFIT if self.ground.experiment.evaluation.refit else ""
        return Description(
            task=dataset.task,
            target=dataset.target,
            labels=dataset.labels,
            positive=dataset.positive,
            scale=1.0 if scale is None else scale.scale,
            columns=tuple((column.name, column.kind) for column in dataset.columns),
            vocabularies=self.preparation(place, way).vocabularies,
            missing=tuple(self.ground.experiment.data.missing),
            id=dataset.id,
            weight=dataset.weight,
        )

    def yardstick(self, rows: Rows) -> Yardstick:
        """Return what predictions of rows are held against."""
        dataset, scale = self.ground.dataset, self.target_scale()
        roles = dataset.roles.of(rows)
        return Yardstick(
            dataset.task,
            encode_target(dataset.frame[rows], dataset.target, dataset.labels),
            dataset.positive,
            1.0 if scale is None else scale.scale,
            roles.weights,
            roles.groups,
        )

    def rows(self, part: Rows) -> pl.DataFrame:
        """Return raw rows of the table, with the target."""
        return self.ground.dataset.frame[part]

    def _arrays(self, place: str, way: str) -> Path:
        return self.folder.arrays / (f"{place}-{way}" if place else way)


def _joined(several: Iterable[Rows]) -> Rows:
    return np.unique(np.concatenate(list(several)))


def _with_file(trial: Trial, file: StoredFile) -> Trial:
    """Put the file of the whole trial before those of its parts."""
    return replace(trial, files=(file, *trial.files))
