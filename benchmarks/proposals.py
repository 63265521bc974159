"""hptune's Bayesian proposals against KerasTuner's own, at equal numbers of trials and from the same first points.

Usage: python benchmarks/proposals.py [--seeds 20] [--processes 2] [--minutes 20] [--problem branin] [--batch 1 growing]

Nothing is trained. A proposal is answered by Branin's function (2 dimensions), Hartmann's (6 dimensions), or the log
loss of the nearest of 400 trials that a random search on digits has trained before (6 dimensions,
`recorded_trials.csv`; `--record` searches them again). Nearest is meant in the unit cube, a choice by its place on the
list. That table is a function of steps: what it answers is what a real trial reached, though seldom one of exactly
these settings.

Each process has one thread. KerasTuner takes seconds a proposal, so what was measured is kept in
`build/proposals.jsonl` and a later call goes on; hptune's searches are done again where its strategies have changed.
Prints the best value so far, mean and standard error over the seeds, the paired difference with its 95 % interval
(above 0 where hptune is better; the first points of a seed are the same for all), and milliseconds of processor time a
proposal, which other processes do not lengthen.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from problems import PROBLEMS, Problem, record

FOLDER = Path(__file__).parent
RESULTS = FOLDER.parent / "build" / "proposals.jsonl"
STRATEGIES = FOLDER.parent / "hptune" / "strategies"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
KERAS_TUNER, RANDOM = "KerasTuner", "random"
# The default: batches that grow with the results.
GROWING = "growing"
# Of the strategy, as the experiment has them by default; the number of first points is KerasTuner's rule.
OPTIONS = {"num_initial_points": None, "alpha": 1e-4, "beta": 2.6}
SPEED_TRIALS = 104


@dataclass(frozen=True)
class Search:
    """One search, by what makes it another one: a tool, a seed, and the code that proposes."""

    problem: str
    tool: str
    seed: int
    code: str


@cache
def objective() -> Any:
    """The aim, in hptune's words."""
    from hptune.objective import Objective

    return Objective("loss", "min")


def make_oracle(space: Any, seed: int) -> Any:
    """Return KerasTuner's own strategy over a space; only its files are left out."""
    import keras_tuner

    from hptune.strategies.oracles import QuietOracle, Translation, oracle_options

    class Oracle(QuietOracle, keras_tuner.oracles.BayesianOptimizationOracle):
        """Writes nothing; what it proposes is its own."""

    return Oracle(**oracle_options(Translation(space), objective(), seed))


def first_points(space: Any, seed: int) -> list[dict[str, Any]]:
    """Return KerasTuner's random points before its first fit; they do not depend on results."""
    from hptune.strategies.bayesian import count_initial_points
    from hptune.strategies.oracles import Translation, create_trial

    oracle, translation = make_oracle(space, seed), Translation(space)
    asked = (create_trial(oracle, str(number)) for number in range(count_initial_points(space, None)))
    return [translation.to_ours(trial.hyperparameters.values) for trial in asked]


def search_by_keras_tuner(problem: Problem, seed: int) -> tuple[list[float], list[float]]:
    """Return the value of each trial, and the seconds that each proposal took."""
    from hptune.strategies.oracles import Translation, create_trial, end_trial

    space, value = problem.make()
    oracle, translation = make_oracle(space, seed), Translation(space)
    values, seconds = [], []
    for _ in range(problem.trials):
        began = time.process_time()
        trial = create_trial(oracle, "bench")
        seconds.append(time.process_time() - began)
        values.append(value(translation.to_ours(trial.hyperparameters.values)))
        end_trial(oracle, trial, objective(), values[-1])
    return values, seconds


def search_by_hptune(problem: Problem, seed: int, batch: str | None) -> tuple[list[float], list[float]]:
    """Return the value of each trial, and the seconds that each proposal took; random ones without a batch.

    Args:
        problem: What to search.
        seed: Of everything.
        batch: Width of the batches, or `GROWING`; None for random search.
    """
    from hptune.strategies import Task, create_strategy
    from hptune.trial import Exhausted, Outcome, Trial, Wait

    space, value = problem.make()
    options = {} if batch is None else {**OPTIONS, "batch": None if batch == GROWING else int(batch)}
    task = Task(space, objective(), seed, first_points(space, seed), options)
    strategy = create_strategy("random" if batch is None else "bayesian", task)
    values: list[float] = []
    seconds: list[float] = []
    while len(values) < problem.trials:
        began = time.process_time()
        answer = strategy.ask(problem.trials - len(values))
        if isinstance(answer, Wait | Exhausted):
            raise RuntimeError(f"{answer} after {len(values)} trials")
        seconds += [(time.process_time() - began) / len(answer)] * len(answer)
        for proposal in answer:
            values.append(value(proposal.values))
            strategy.tell(Trial(proposal, Outcome.COMPLETED, score=values[-1]))
    return values, seconds


def run(search: Search) -> dict[str, Any]:
    """Do one search, in a process of its own; return what is kept of it."""
    problem = PROBLEMS[search.problem]
    if search.tool == KERAS_TUNER:
        values, seconds = search_by_keras_tuner(problem, search.seed)
    else:
        values, seconds = search_by_hptune(problem, search.seed, batch_of(search.tool))
    return {**asdict(search), "values": values, "seconds": seconds}


def batch_of(tool: str) -> str | None:
    """Return the width of the batches of one of our searches; None for the random one."""
    return None if tool == RANDOM else tool.rpartition(" ")[2]


def code_of(tool: str) -> str:
    """Return what changes when a tool proposes otherwise."""
    if tool == KERAS_TUNER:
        import importlib.metadata

        return importlib.metadata.version("keras-tuner")
    sources = b"".join(path.read_bytes() for path in sorted(STRATEGIES.glob("*.py")))
    return hashlib.sha256(sources).hexdigest()[:12]


def read_results() -> dict[Search, dict[str, Any]]:
    """Return what earlier calls have measured."""
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    kept = map(json.loads, lines)
    return {Search(*(line[name] for name in Search.__dataclass_fields__)): line for line in kept}


def measure(searches: Sequence[Search], processes: int, minutes: float) -> None:
    """Do searches, each kept as it ends; none is begun when the time is over."""
    until = time.monotonic() + 60 * minutes
    RESULTS.parent.mkdir(exist_ok=True)
    os.environ.update(ONE_THREAD)
    pending = list(reversed(searches))
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool, RESULTS.open("a") as stream:
        under_way = {pool.submit(run, pending.pop()) for _ in range(min(processes, len(pending)))}
        while under_way:
            done = next(as_completed(under_way))
            under_way.remove(done)
            stream.write(json.dumps(done.result()) + "\n")
            stream.flush()
            if pending and time.monotonic() < until:
                under_way.add(pool.submit(run, pending.pop()))
    if pending:
        print(f"{len(pending)} searches are left for the next call", flush=True)


def show(name: str, tools: Sequence[str], seeds: Sequence[int], results: Mapping[Search, dict[str, Any]]) -> None:
    """Print the figures of a problem over the seeds that every tool has searched."""
    import numpy as np
    from scipy.stats import t

    problem = PROBLEMS[name]
    keyed = {tool: [Search(name, tool, seed, code_of(tool)) for seed in seeds] for tool in tools}
    complete = [place for place in range(len(seeds)) if all(keyed[tool][place] in results for tool in tools)]
    print(f"\n{name}: lowest value so far, {len(complete)} seeds")
    print(f"{'':>10}" + "".join(f"{count:>24}" for count in problem.counts) + "   ms a proposal")
    if len(complete) < 2:
        return
    best = {
        tool: np.minimum.accumulate([results[keyed[tool][place]]["values"] for place in complete], axis=1)
        for tool in tools
    }
    root = math.sqrt(len(complete))
    for tool in tools:
        cells = []
        for count in problem.counts:
            lowest = best[tool][:, count - 1]
            cells.append(f"{lowest.mean():>13.5f} ± {lowest.std(ddof=1) / root:.5f}")
        # Without the random first points.
        fitted = [results[keyed[tool][place]]["seconds"][problem.counts[0] :] for place in complete]
        print(f"{tool:>10}" + "".join(f"{cell:>24}" for cell in cells) + f"{1000 * np.median(fitted):>16.1f}")
    width = t.ppf(0.975, len(complete) - 1)
    for tool in tools:
        if tool == KERAS_TUNER:
            continue
        cells = []
        for count in problem.counts:
            gain = best[KERAS_TUNER][:, count - 1] - best[tool][:, count - 1]
            reach = width * gain.std(ddof=1) / root
            cells.append(f"{gain.mean():+.5f} [{gain.mean() - reach:+.4f}, {gain.mean() + reach:+.4f}]")
        print(f"{tool:>10}" + "".join(f"{cell:>32}" for cell in cells) + f"   better than {KERAS_TUNER} by")


def show_speed(batches: Sequence[str]) -> None:
    """Print how long a proposal takes after a hundred trials in six dimensions, in a process of one thread."""
    long = replace(PROBLEMS["hartmann"], trials=SPEED_TRIALS)
    for batch in batches:
        _, seconds = search_by_hptune(long, 1, batch)
        mean = 1000 * sum(seconds[-8:]) / 8
        print(f"hptune {batch}: {mean:.1f} ms a proposal, mean of the last 8 of {SPEED_TRIALS} trials, 6 dimensions")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=60.0, help="after which no search is begun")
    parser.add_argument("--problem", choices=tuple(PROBLEMS), action="append")
    parser.add_argument("--batch", nargs="+", default=["1", GROWING])
    parser.add_argument("--record", action="store_true", help="make the table of trials again, and end")
    asked = parser.parse_args()
    if asked.record:
        record()
        return
    problems = asked.problem or list(PROBLEMS)
    tools = [*(f"hptune {batch}" for batch in asked.batch), RANDOM, KERAS_TUNER]
    seeds = range(1, asked.seeds + 1)
    known = read_results()
    # The slow one first: what it has answered stays true when hptune's strategies change.
    ordered = [KERAS_TUNER, *tools[:-1]]
    wanted = [Search(name, tool, seed, code_of(tool)) for tool in ordered for name in problems for seed in seeds]
    measure([search for search in wanted if search not in known], asked.processes, asked.minutes)
    results = read_results()
    for name in problems:
        show(name, tools, seeds, results)
    print(flush=True)
    command = [sys.executable, __file__, "--speed", *asked.batch]
    subprocess.run(command, check=True, env={**os.environ, **ONE_THREAD})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--speed"]:
        show_speed(sys.argv[2:])
    else:
        main()
