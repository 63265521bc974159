"""The winner is not luck: the best candidates are trained again with fresh seeds, and held against each other.

Everything here is decided from the journal and the files that it names, never from a clock, so that a search that was
killed ends with the same winner. What it costs is counted in epochs, which are on record.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hptune.bootstrap import draw_scores
from hptune.groundwork import Groundwork
from hptune.leaderboard import Confirmed, Leaderboard
from hptune.materials import Materials
from hptune.parts import CONFIRMATION, mean, name_parts, natural_order, standard_error
from hptune.run.folder import PREDICTIONS, WEIGHTS
from hptune.run.records import History
from hptune.spec.evaluation import ConfirmSpec
from hptune.trial import Proposal, Trial, derive_seed
from hptune.tuner import TIME_USED

# By itself it may cost the search this share of what that has cost.
_WORTH = 0.1
# Standard errors of a difference within which two candidates are not told apart: 95 % of normal ones.
_NOISE = 1.96


@dataclass(frozen=True)
class Choice:
    """Which trial is delivered, and how sure that is.

    Attributes:
        winner: The trial.
        tie: Trials that cannot be told from the best one, that one first; alone where it stands out, empty where
            nothing says.
        is_confirmed: Whether candidates were trained again.
        sentence: How sure the ranking is, for people.
    """

    winner: Trial
    tie: tuple[int, ...]
    is_confirmed: bool
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Return what `best/metrics.json` holds of it."""
        return {"tie": list(self.tie), "confirmed": self.is_confirmed, "sentence": self.sentence}


def plan_confirmation(
    ground: Groundwork, board: Leaderboard, history: History, kept: Sequence[Trial]
) -> list[Proposal]:
    """Choose what is trained again: nothing, or each candidate with each fresh seed, on every fold.

    Args:
        ground: Of the search.
        board: What it came to.
        history: What is on record.
        kept: Trials of which a model can be delivered, best first.

    Where the experiment does not say, it is done if it costs less than a tenth of the search, counted in epochs, and
    the search was not ended by the clock, which it would overrun.
    """
    wish = ground.experiment.evaluation.confirm
    if wish is False:
        return []
    spec = wish if isinstance(wish, ConfirmSpec) else ConfirmSpec()
    candidates = kept[: spec.top]
    names = name_parts(ground.experiment.evaluation.folds, spec.seeds, CONFIRMATION)
    if not isinstance(wish, ConfirmSpec):
        cost = sum(trial.epochs for trial in candidates) * len(names)
        spent = sum(trial.epochs for trial in board.trials) * len(ground.part_names)
        was_clock = history.stop is not None and history.stop["reason"] == TIME_USED
        if was_clock or len(candidates) < 2 or cost >= _WORTH * spent:
            return []
    # Rungs end where they ended: what is compared must have had the same epochs.
    return [trial.proposal.as_part(name) for trial in candidates for name in names]


def choose(materials: Materials, board: Leaderboard, history: History) -> Choice:
    """Choose the trial to deliver: the smallest of those that cannot be told from the best.

    Before anything was trained again it is the first of the leaderboard.

    Raises:
        RunDamagedError: If stored predictions are not what was recorded.
    """
    confirmed = {
        trial.number: (trial, board.confirmed[trial.number])
        for trial in board.scored
        # A larger budget may have let better trials take the place of one that was confirmed before.
        if trial.number in board.confirmed and materials.folder.holds(trial, WEIGHTS, PREDICTIONS)
    }
    if not confirmed:
        return _unconfirmed(materials.ground, board, history)
    ranked = sorted(confirmed.values(), key=lambda pair: _rank(board, *pair))
    best, own = ranked[0]
    noise = _noise_of_rows(materials, [trial for trial, _ in ranked], history)
    tie = [best]
    for trial, other in ranked[1:]:
        if own.score is None or other.score is None:
            continue
        spread = math.hypot(own.std_error or 0.0, other.std_error or 0.0, noise[trial.number])
        if abs(own.score - other.score) <= _NOISE * spread:
            tie.append(trial)
    winner = min(tie, key=lambda trial: (trial.weights or 0, _rank(board, *confirmed[trial.number])))
    numbers = tuple(trial.number for trial in tie)
    return Choice(winner, numbers, True, _tell_confirmed(winner, numbers, len(ranked), own.n))


def _rank(board: Leaderboard, trial: Trial, confirmed: Confirmed) -> tuple[bool, float, int]:
    if confirmed.score is None:
        return True, 0.0, trial.number
    return False, board.objective.sort_key(confirmed.score), trial.number


def _noise_of_rows(materials: Materials, trials: Sequence[Trial], history: History) -> Mapping[int, float]:
    """Say how much the difference between the first trial and each other one scatters with the validation rows."""
    metric = materials.ground.objective.metric
    yardstick = materials.yardstick(materials.split.validation)
    models = [
        [materials.guess(part) for part in confirmations(history, trial.number) if part.score is not None]
        for trial in trials
    ]
    seed = derive_seed(materials.ground.experiment.strategy.seed, "confirmation")
    known = [index for index, model in enumerate(models) if model]
    draws = draw_scores(yardstick, [models[index] for index in known], metric, seed)
    if draws.shape[1] < 2:
        return {trial.number: 0.0 for trial in trials}
    scatter = {
        trials[index].number: float(np.std(draws[0] - own, ddof=1)) for index, own in zip(known, draws, strict=True)
    }
    return {trial.number: scatter.get(trial.number, 0.0) for trial in trials}


def confirmations(history: History, number: int) -> list[Trial]:
    """Return the trainings with fresh seeds of a trial, in order."""
    parts = [part for (owner, name), part in history.parts.items() if owner == number and name.startswith(CONFIRMATION)]
    return sorted(parts, key=lambda part: natural_order(part.proposal.part))


def _tell_confirmed(winner: Trial, tie: tuple[int, ...], candidates: int, seeds: int) -> str:
    begin = f"Trained again with {seeds} fresh seeds, "
    if candidates == 1:
        return f"{begin}trial {winner.number} was not compared with another."
    if len(tie) == 1:
        return f"{begin}trial {winner.number} is better than the next {candidates - 1} beyond noise."
    best, last = ", ".join(map(str, tie[:-1])), tie[-1]
    return (
        f"{begin}trials {best} and {last} cannot be told apart; trial {winner.number}, the smallest of them, is "
        "delivered."
    )


def _unconfirmed(ground: Groundwork, board: Leaderboard, history: History) -> Choice:
    winner = board.scored[0]
    if winner.n == 1:
        others = len(board.scored) - 1
        sentence = f"Each configuration was trained once: nobody knows whether trial {winner.number} would win again."
        return Choice(winner, (), False, sentence if others else "")
    tie = [winner.number]
    for trial in board.scored[1:]:
        pairs = [
            (history.parts[winner.number, part].score, history.parts[trial.number, part].score)
            for part in ground.part_names
            if (winner.number, part) in history.parts and (trial.number, part) in history.parts
        ]
        differences = [own - other for own, other in pairs if own is not None and other is not None]
        error = standard_error(differences)
        if error is not None and abs(mean(differences)) <= _NOISE * error:
            tie.append(trial.number)
    what = "folds" if ground.experiment.evaluation.folds else "repeats"
    if len(board.scored) == 1:
        return Choice(winner, tuple(tie), False, "")
    if len(tie) == 1:
        sentence = f"Over {winner.n} {what}, trial {winner.number} is better than every other beyond noise."
    else:
        shown = ", ".join(map(str, tie[1:6])) + (" and more" if len(tie) > 6 else "")
        sentence = f"Over {winner.n} {what}, trial {winner.number} cannot be told from {len(tie) - 1} others: {shown}."
    return Choice(winner, tuple(tie), False, sentence)


def encode_confirmed(confirmed: Mapping[int, Confirmed]) -> list[dict[str, Any]]:
    """Return scores with fresh seeds as plain data, by trial."""
    return [{"trial": number, **asdict(found)} for number, found in sorted(confirmed.items())]
