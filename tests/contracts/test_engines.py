"""Both engines on the same trials: a slot of a population is `keras.Model.fit`, and knows nothing of its neighbours."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable
from functools import partial, partialmethod
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import ks_2samp
from test_fitting import DEFAULTS, EFFECTS, TASKS, make_job, np_arrays

from hptune.data.arrays import write_arrays
from hptune.metrics import reported_metrics
from hptune.models.blocks import InitialWeights
from hptune.spec.settings import ACTIVATIONS
from hptune.training.dials import OFF, is_dial, structure_of
from hptune.training.fitting import build_network, fit, restore_model
from hptune.training.job import Fitted, Job
from hptune.training.optimizers import make_optimizer
from hptune.training.population import Population, Programs
from hptune.training.predicting import Predictor, Rows
from hptune.training.program import Program
from hptune.training.reductions import (
    RowSums,
    binary_cross_entropy,
    cross_entropy,
    in_registers,
    log_softmax,
    softmax,
    sum_slots,
)
from hptune.training.serving import serve
from hptune.training.stacking import StackedNetwork
from hptune.trial import Outcome

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

# Where sums are taken in another order, single precision drifts by about 1e-7 a step.
TOLERANCE = 1e-5
FILES = ("weights.npz", "predictions.npy", "curve.json")
SGD = {"training.optimizer": "sgd", "training.learning_rate": 0.01}
DETERMINISTIC: dict[str, dict[str, Any]] = {
    "plain": {},
    "no hidden block": {"model.blocks": 0},
    "batch norm before": {"model.batch_norm": "before"},
    "batch norm after and on inputs": {"model.batch_norm": "after", "model.input_batch_norm": True},
    "residual": {"model.residual": True},
    "residual with projections": {"model.residual": True, "model.units.1": 7, "model.units.2": 9},
    "l1": {"model.l1": 1e-2},
    "l2": {"model.l2": 1e-2, "model.bias_l2": 1e-2},
    "adamw": {"training.optimizer": "adamw", "training.weight_decay": 1e-2},
    "rmsprop": {"training.optimizer": "rmsprop"},
    "momentum": {**SGD, "training.weight_decay": 1e-3},
    "nesterov": {**SGD, "training.nesterov": True},
    "no momentum": {**SGD, "training.momentum": 0.0},
    "clipped": {"training.clip_norm": 0.1},
    "cosine with warm-up": {"training.schedule": "cosine", "training.warmup": 0.3},
    "warm-up alone": {"training.warmup": 0.3},
    "label smoothing": {"training.label_smoothing": 0.1},
    "another activation": {"model.activation": "gelu"},
    "balanced classes": {"training.class_weight": "balanced"},
    "embedding": {"data.preparation.categorical": "embedding"},
    "large batch": {"training.batch_size": 500},
    "l1 under a schedule": {"model.l1": 1e-2, "training.schedule": "cosine", "training.warmup": 0.2},
}
# Losses and outputs differ between tasks, everything else does not.
CASES = [("multiclass", case) for case in DETERMINISTIC] + [
    (task, case)
    for task in ("binary", "regression")
    for case in ("no hidden block", "batch norm before", "embedding", "l1 under a schedule")
]
CASES += [("binary", "label smoothing"), ("binary", "balanced classes")]


@pytest.fixture(scope="module")
def programs() -> Programs:
    """Traces that all tests share."""
    return Programs()


def train(jobs: list[Job], programs: Programs | None = None, at_a_time: int = 64) -> list[Fitted]:
    """Train jobs side by side, so many at a time, each slot refilled as it becomes free."""
    waiting = list(enumerate(jobs))
    population = Population(jobs[0], programs or Programs())
    fitted: dict[int, Fitted] = {}
    while waiting or len(population):
        free = at_a_time - len(population)
        given, waiting = waiting[:free], waiting[free:]
        if given:
            population.admit(given, lambda trial: "")
        fitted.update(population.advance())
    return [fitted[number] for number in range(len(jobs))]


class Mail:
    """A worker's mailbox in which batches of jobs lie ready, as if the parent had been quick."""

    class EmptyError(Exception):
        """Nothing will come any more."""

    def __init__(self, *batches: list[Job]) -> None:
        self.ended: dict[int, Fitted] = {}
        self._given = 0
        numbers = iter(range(100))
        self._batches = [[((next(numbers), ""), job) for job in batch] for batch in batches]

    def next_jobs(self, *, wait: bool) -> list[tuple[Any, Job]]:
        if wait and not self._batches:
            raise Mail.EmptyError
        # The next structure is sent as soon as the last trial of this one has ended.
        is_over = len(self.ended) == self._given
        jobs = self._batches.pop(0) if self._batches and is_over else []
        self._given += len(jobs)
        return jobs

    def reason_to_end(self, trial: Any) -> str:
        return ""

    def send(self, kind: str, content: Any) -> None:
        if kind == "ended":
            self.ended[content[0][0]] = content[1]


def in_folder(job: Job, name: str, **changed: Any) -> Job:
    folder = job.folder.with_name(name)
    folder.mkdir(exist_ok=True)
    return dataclasses.replace(job, folder=folder, **changed)


def weights_of(job: Job) -> dict[str, np.ndarray]:
    with np.load(job.folder / "weights.npz") as stored:
        return dict(stored)


def files_of(job: Job) -> list[bytes]:
    return [(job.folder / name).read_bytes() for name in FILES]


def test_what_comes_after_the_last_trial_may_be_of_another_structure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What it changes would be changed for all tests after this one.
    monkeypatch.setattr("hptune.training.serving.configure_runtime", lambda worker: None)
    settings = [{"model.units": 4}, {"model.units": 6}, {"model.units": 6}, {"training.engine": "keras"}]
    jobs = [in_folder(make_job(tmp_path, **given), f"trial {place}") for place, given in enumerate(settings)]
    mail = Mail(*([job] for job in jobs))

    with pytest.raises(Mail.EmptyError):
        serve(mail, 0)  # type: ignore[arg-type]

    assert [fitted.outcome for fitted in mail.ended.values()] == [Outcome.COMPLETED] * 4
    for job, fitted in zip(jobs, mail.ended.values(), strict=True):
        shapes = {path: values.shape for path, values in weights_of(job).items()}
        assert shapes == {variable.path: tuple(variable.shape) for variable in build_network(job).weights}
        assert fitted.engine == job.settings["training.engine"].replace("auto", "population")


@pytest.mark.parametrize(("task", "case"), CASES)
def test_a_slot_without_dropout_is_keras_fit(task: str, case: str, programs: Programs, tmp_path: Path) -> None:
    settings = {"training.epochs": 5, "training.early_stopping": None, **DETERMINISTIC[case]}
    # All other dials are in use somewhere in the search, and off here.
    job = make_job(tmp_path, task, **settings)
    job = dataclasses.replace(job, dials=frozenset(OFF) - {"model.dropout", "model.input_dropout"})
    other = in_folder(job, "slot")

    theirs = fit(job, lambda epoch, score: "")
    (ours,) = train([other], programs)

    assert (ours.outcome, ours.best_epoch, ours.epochs) == (Outcome.COMPLETED, theirs.best_epoch, 5)
    assert ours.score == pytest.approx(theirs.score, rel=TOLERANCE)
    expected, found = weights_of(job), weights_of(other)
    assert list(expected) == list(found)
    for path, values in expected.items():
        scale = max(float(np.abs(values).max()), 1e-2)
        assert np.abs(values - found[path]).max() <= TOLERANCE * scale, path
    if case.startswith("l1"):
        assert all((values == 0).sum() == (found[path] == 0).sum() for path, values in expected.items())


@pytest.mark.parametrize(
    "changed",
    [
        {"model.l1": 2.0, "model.residual": True, "model.units.1": 7, "training.learning_rate": 0.05},
        # A step so large that most units never see a row again.
        {**SGD, "training.learning_rate": 3.0, "model.units": 24},
        {"model.activation": "tanh", "model.batch_norm": "after", "training.learning_rate": 1.0},
    ],
    ids=["cut by l1", "dying", "saturated"],
)
def test_silent_units_are_those_that_say_the_same_of_every_row(
    changed: dict[str, Any], programs: Programs, tmp_path: Path
) -> None:
    job = make_job(tmp_path, "binary", **{"training.epochs": 6, "training.early_stopping": None, **changed})
    job = dataclasses.replace(job, dials=frozenset(OFF), keeps_last=True)
    other = in_folder(job, "slot")

    fit(job, lambda epoch, score: "")
    train([other, in_folder(job, "neighbour", seed=8)], programs)

    for one in (job, other):
        model, rows = restore_model(one, one.folder / "weights.npz"), Rows.open(one, "sample")
        expected = {}
        for block in (1, 2):
            layer = model.get_layer(f"block_{block}_activation")
            said = keras.Model(model.input, layer.output)(rows.inputs).numpy()
            expected[f"block_{block}_dense"] = sum(
                np.ptp(unit) <= 1e-6 * max(np.abs(said).max(), 1e-30) for unit in said.T
            )
        assert json.loads((one.folder / "curve.json").read_text())["silent_units"] == expected
        assert sum(expected.values()) > 0


@pytest.mark.parametrize("categorical", ["one_hot", "embedding"])
def test_folds_are_traced_once_whatever_their_rows_and_categories(
    categorical: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folds differ in rows, preparation and categories, and share the trace of their structure."""
    traces: list[str] = []

    def count(computed: Any, program: Program, *given: Any) -> Any:
        traces.append(computed.__name__)
        return computed(program, *given)

    for name in ("_train_epoch", "_predict_rows"):
        monkeypatch.setattr(Program, name, partialmethod(partial(count, getattr(Program, name))))
    settings = {"training.epochs": 2, "data.preparation.categorical": categorical}
    jobs = []
    for number, (rows, categories) in enumerate([(77, 4), (70, 6), (60, 9)]):
        job = make_job(tmp_path, "binary", **settings)
        arrays = {name: array[:rows] if name.startswith("train") else array for name, array in np_arrays(job).items()}
        arrays["train.codes"] = arrays["train.codes"] % 4 * (categories - 1) // 3
        folder = tmp_path / f"fold-{number}"
        write_arrays(folder, arrays)
        jobs.append(in_folder(job, f"trial-{number}", arrays=folder, vocabulary_sizes=(categories,)))
    programs = Programs()

    for job in jobs:
        train([job], programs)

    assert sorted(traces) == ["_predict_rows", "_train_epoch"]
    alone = in_folder(jobs[-1], "alone")
    train([alone])
    assert files_of(alone) == files_of(jobs[-1])


@pytest.mark.parametrize("task", TASKS)
def test_rows_count_by_their_weight_in_both_engines(task: str, programs: Programs, tmp_path: Path) -> None:
    settings = {"training.epochs": 5, "training.early_stopping": None}
    if task == "binary":
        settings["training.class_weight"] = "balanced"
    job = make_job(tmp_path, task, **settings)
    job = dataclasses.replace(job, dials=frozenset(OFF) - {"model.dropout", "model.input_dropout"})
    equal = in_folder(job, "equal")
    fit(equal, lambda epoch, score: "")
    generator = np.random.default_rng(5)
    weights = {part: generator.uniform(0, 3, count) for part, count in (("train", 77), ("validation", 30))}
    write_arrays(job.arrays, {f"{part}.weight": values for part, values in weights.items()})
    # In another unit, which changes nothing.
    other = in_folder(job, "slot", arrays=tmp_path / "hundredfold")
    write_arrays(other.arrays, {path.stem: np.load(path) for path in job.arrays.glob("*.npy")})
    write_arrays(other.arrays, {f"{part}.weight": 100 * values for part, values in weights.items()})

    theirs = fit(job, lambda epoch, score: "")
    (ours,) = train([other], programs)

    assert ours.score == pytest.approx(theirs.score, rel=TOLERANCE)
    expected, found, unweighted = weights_of(job), weights_of(other), weights_of(equal)
    for path, values in expected.items():
        scale = max(float(np.abs(values).max()), 1e-2)
        assert np.abs(values - found[path]).max() <= TOLERANCE * scale, path
        assert np.abs(values - unweighted[path]).max() > 10 * TOLERANCE * scale, path
    predictions, truth = np.load(job.folder / "predictions.npy"), Rows.open(job, "validation").truth
    scale = job.target_scale[1] if job.target_scale else 1.0
    figures = reported_metrics(job.task, truth, predictions, job.positive, scale, weights["validation"])
    assert theirs.score == figures[job.objective.metric]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_an_activation_treats_slots_as_rows(activation: str) -> None:
    function = keras.activations.get(activation)
    x = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32) * 3

    together = np.asarray(function(tf.constant(x)))

    assert np.allclose(together, np.stack([np.asarray(function(tf.constant(slot))) for slot in x]), rtol=1e-6)


# A width that fills no vector registers.
ODD = 9
EVERYTHING: dict[str, Any] = {
    "model.units": ODD,
    "model.input_batch_norm": True,
    "model.dropout": 0.3,
    "model.input_dropout": 0.1,
    "model.batch_norm": "before",
    "model.residual": True,
    "model.l1": 1e-3,
    "data.preparation.categorical": "embedding",
    "training.optimizer": "adamw",
    "training.weight_decay": 1e-2,
    "training.clip_norm": 1.0,
    "training.schedule": "cosine",
    "training.label_smoothing": 0.1,
}


def crowd(folder: Path, task: str = "multiclass", count: int = 7) -> list[Job]:
    """Make trials of one structure whose dials all differ."""
    generator = np.random.default_rng(3)
    jobs = []
    for number in range(count):
        dials = {
            "model.dropout": float(generator.uniform(0, 0.6)),
            "training.learning_rate": float(10 ** generator.uniform(-4, -1)),
            "training.epochs": int(generator.integers(1, 6)),
            "model.l2": float(10 ** generator.uniform(-5, -1)),
            "training.clip_norm": [None, 0.1, 1.0][number % 3],
        }
        if task != "regression":
            dials["training.class_weight"] = ["none", "balanced"][number % 2]
        else:
            dials["training.label_smoothing"] = 0
        job = make_job(folder, task, **{**EVERYTHING, **dials})
        jobs.append(in_folder(job, f"trial-{number}", seed=11 + number, dials=frozenset(OFF)))
    return jobs


@pytest.mark.parametrize("task", TASKS)
def test_a_trial_does_not_depend_on_its_neighbours(task: str, tmp_path: Path) -> None:
    jobs = crowd(tmp_path, task, count=11)
    together = train(jobs)
    expected = [files_of(job) for job in jobs]
    programs = Programs()

    for order, at_a_time in (([6, 5, 4, 3, 2, 1, 0], 3), ([0, 1, 2, 3, 4, 5, 6], 1), ([3, 0, 6], 2), ([*range(9)], 8)):
        chosen = [in_folder(jobs[index], f"again-{at_a_time}-{index}") for index in order]
        again = train(chosen, programs, at_a_time)

        assert again == [
            dataclasses.replace(together[index], files=again[place].files) for place, index in enumerate(order)
        ]
        assert [files_of(job) for job in chosen] == [expected[index] for index in order]


@pytest.mark.parametrize("task", TASKS)
def test_folds_side_by_side_read_rows_of_their_own(task: str, tmp_path: Path) -> None:
    # Eight of one fold, and three of another that has its rows in another order and a target on another scale.
    jobs = [dataclasses.replace(job, has_folds=True) for job in crowd(tmp_path, task, count=11)]
    arrays = {name: array[::-1] if name.startswith("train") else array for name, array in np_arrays(jobs[0]).items()}
    write_arrays(tmp_path / "other", arrays)
    scale = (5.0, 30.0) if task == "regression" else None
    jobs[8:] = [dataclasses.replace(job, arrays=tmp_path / "other", target_scale=scale) for job in jobs[8:]]
    together = train(jobs, at_a_time=10)
    programs = Programs()

    for number in (9, 0, 10):
        alone = in_folder(jobs[number], f"alone-{number}")
        (fitted,) = train([alone], programs)
        assert fitted == dataclasses.replace(together[number], files=fitted.files)
        assert files_of(alone) == files_of(jobs[number])
        # Where nobody else may have other rows, they are not gathered for each slot.
        shared = in_folder(jobs[number], f"shared-{number}", has_folds=False)
        assert train([shared], programs)[0].score == pytest.approx(fitted.score, rel=TOLERANCE)


@pytest.mark.parametrize("optimizer", ["rmsprop", "sgd", "adam"])
def test_one_of_many_has_the_same_bytes_alone(optimizer: str, tmp_path: Path) -> None:
    settings = {"training.optimizer": optimizer, "model.batch_norm": "after", "model.activation": "silu"}
    settings |= {"model.units": ODD, "model.input_batch_norm": True}
    job = dataclasses.replace(make_job(tmp_path, **settings), dials=frozenset(OFF))
    many = [in_folder(job, f"many-{seed}", seed=seed) for seed in range(5)]
    alone = [in_folder(job, f"alone-{seed}", seed=seed) for seed in range(5)]

    train(many)
    train(alone, at_a_time=1)

    assert [files_of(one) for one in alone] == [files_of(one) for one in many]


def with_gradient(function: Callable[[Any], Any]) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Let TensorFlow find the gradient of a function of logits."""

    def both(x: Any, target: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return y, tape.gradient(y, x)

    return both


REDUCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "sums over rows": lambda x, target: (RowSums(x.shape[1]).sum(x), RowSums(x.shape[1]).mean(x)),
    "sum_slots": lambda x, target: [sum_slots(tf.reshape(x, (x.shape[0], -1)))],
    "softmax": with_gradient(softmax),
    "log_softmax": with_gradient(log_softmax),
    "cross_entropy": cross_entropy,
    "binary_cross_entropy": binary_cross_entropy,
    "products": lambda x, target: [tf.matmul(x, target, transpose_a=True)],
    "in_registers": with_gradient(lambda x: in_registers(keras.activations.gelu, x)),
    "in_registers, a number a slot": with_gradient(lambda x: in_registers(tf.exp, x[:, 0, 0])),
}
# Rows and columns with which TensorFlow's own kernels depend on the number of slots or on where one stands.
SHAPES = ((32, 10), (53, 53), (128, 10), (143, 17), (221, 287), (346, 11), (77, 39), (394, 3), (463, 186))


@pytest.mark.parametrize("name", REDUCTIONS)
def test_a_reduction_depends_neither_on_the_number_of_slots_nor_on_their_places(name: str) -> None:
    generator = np.random.default_rng(0)

    def results(x: Any, target: Any) -> list[Any]:
        return [found.numpy() for found in REDUCTIONS[name](x, target)]

    for rows, columns in SHAPES:
        x = generator.normal(size=(24, rows, columns)).astype(np.float32) * 5
        target = np.eye(columns, dtype=np.float32)[generator.integers(0, columns, (24, rows))]
        order = generator.permutation(24)
        whole = results(tf.constant(x), tf.constant(target))
        for chosen in (order, order[:8], order[:3], order[:2]):
            few = results(tf.constant(x[chosen]), tf.constant(target[chosen]))
            for ours, theirs in zip(few, whole, strict=True):
                assert ours.tobytes() == theirs[chosen].tobytes(), (rows, columns)


def test_sums_are_sums() -> None:
    x = np.random.default_rng(0).normal(size=(8, 5, 3)).astype(np.float32)

    assert np.allclose(RowSums(5).sum(x), x.sum(1, keepdims=True), atol=1e-6)
    assert np.allclose(RowSums(5).mean(x), x.mean(1, keepdims=True), atol=1e-6)
    assert np.allclose(sum_slots(x[:, :, 0]), x[:, :, 0].sum(1), atol=1e-6)


def test_softmax_and_its_losses_are_those_of_tensorflow() -> None:
    logits = tf.constant([[[0.0, 1000.0, -1000.0], [1.0, 2.0, 3.0]]] * 8)
    target = tf.constant([[[0.1, 0.8, 0.1], [0.0, 0.0, 1.0]]] * 8)
    for function, theirs in (
        (cross_entropy, tf.nn.softmax_cross_entropy_with_logits),
        (binary_cross_entropy, tf.nn.sigmoid_cross_entropy_with_logits),
    ):
        expected = with_gradient(partial(theirs, target))(logits, target)
        for ours, other in zip(function(logits, target), expected, strict=True):
            assert np.allclose(ours, other, rtol=1e-6, atol=1e-7)

    assert np.allclose(softmax(logits), tf.nn.softmax(logits), rtol=1e-6)
    assert np.allclose(log_softmax(logits), tf.nn.log_softmax(logits), rtol=1e-6)


def test_dials_that_are_off_change_no_bit(tmp_path: Path) -> None:
    job = make_job(tmp_path, **{"model.batch_norm": "after"})
    lean, full = in_folder(job, "lean", dials=frozenset()), in_folder(job, "full", dials=frozenset(OFF))

    train([lean])
    train([full])

    assert files_of(lean) == files_of(full)


@pytest.mark.parametrize("key", EFFECTS)
def test_every_setting_has_an_effect_in_a_population(key: str, programs: Programs, tmp_path: Path) -> None:
    together, value = EFFECTS[key]
    with_it, without = ({**together, key: value}, together)

    outcomes = []
    for name, settings in (("with", with_it), ("without", without)):
        job = in_folder(make_job(tmp_path, **settings), name, dials=frozenset(OFF))
        (fitted,) = train([job], programs)
        outcomes.append((fitted.epochs, (job.folder / "predictions.npy").read_bytes()))

    assert outcomes[0] != outcomes[1]
    assert (structure_of({**DEFAULTS, **with_it}) == structure_of({**DEFAULTS, **without})) == is_dial(key)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop"])
def test_a_paused_trial_goes_on_to_the_bit_in_other_company(optimizer: str, tmp_path: Path) -> None:
    settings = {**EVERYTHING, "training.optimizer": optimizer, "training.epochs": 6}
    job = dataclasses.replace(make_job(tmp_path, **settings), dials=frozenset(OFF))
    whole, first, second = in_folder(job, "whole"), in_folder(job, "first", until=2), in_folder(job, "second")
    neighbours = [in_folder(job, f"neighbour-{seed}", seed=seed) for seed in (1, 2)]

    (expected,) = train([whole])
    (paused,) = train([first])
    goes_on = dataclasses.replace(second, state=first.folder / "state.npz")
    *_, fitted = train([*neighbours, goes_on], at_a_time=2)

    assert (paused.outcome, paused.epochs) == (Outcome.PAUSED, 2)
    assert dataclasses.replace(fitted, files=expected.files) == expected
    assert files_of(second) == files_of(whole)


def test_initial_weights_are_those_of_a_fresh_network(tmp_path: Path) -> None:
    job = make_job(tmp_path, **EVERYTHING)
    template = build_network(job)

    redrawn = InitialWeights(template, job.seed).draw(12345)

    fresh = build_network(dataclasses.replace(job, seed=12345))
    assert {variable.path: variable.numpy().tolist() for variable in fresh.weights} == {
        path: values.tolist() for path, values in redrawn.items()
    }


def test_networks_that_differ_in_width_share_a_trace(tmp_path: Path) -> None:
    networks = [
        StackedNetwork(build_network(make_job(tmp_path, **{"model.units": units, "training.batch_size": batch})), 7)
        for units, batch in ((8, 16), (9, 32))
    ]
    deeper = StackedNetwork(build_network(make_job(tmp_path, **{"model.blocks": 3})), 7)

    assert networks[0].signature == networks[1].signature != deeper.signature


def test_a_trial_that_diverges_leaves_its_neighbours_alone(tmp_path: Path) -> None:
    job = dataclasses.replace(make_job(tmp_path, "regression", **{**SGD, "training.epochs": 3}), dials=frozenset(OFF))
    calm = in_folder(job, "calm")
    wild = in_folder(job, "wild", settings={**job.settings, "training.learning_rate": 1e20})
    alone = in_folder(job, "alone")

    fitted = train([calm, wild])
    train([alone])

    assert [one.outcome for one in fitted] == [Outcome.COMPLETED, Outcome.DIVERGED]
    assert fitted[1].score is None
    assert [Path(file.name).name for file in fitted[1].files] == ["curve.json"]
    assert files_of(calm) == files_of(alone)


def test_a_trial_ends_with_the_epoch_in_which_it_is_asked_to(tmp_path: Path) -> None:
    job = make_job(tmp_path, **{"training.epochs": 5})
    population = Population(job, Programs())
    asked: list[str] = [""]
    population.admit([(0, job), (1, in_folder(job, "other"))], lambda trial: asked[0] if trial == 0 else "")

    population.advance()
    asked[0] = "the clock"
    ((number, fitted),) = population.advance()

    assert number == 0
    assert (fitted.outcome, fitted.epochs) == (Outcome.TIMEOUT, 2)
    assert fitted.message == "stopped after epoch 2: the clock"
    assert len(population) == 1


def test_training_rows_are_scored_on_a_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hptune.training.predicting.SAMPLE_ROWS", 20)
    job = make_job(tmp_path)

    (fitted,) = train([job])

    curve = json.loads((job.folder / "curve.json").read_text())["epochs"]
    # Twentieths, where all 77 rows would give other fractions.
    assert all((epoch["train_accuracy"] * 20) == pytest.approx(round(epoch["train_accuracy"] * 20)) for epoch in curve)
    assert fitted.metrics["train_accuracy"] == curve[fitted.best_epoch - 1]["train_accuracy"]


def last_rmse(job: Job) -> float:
    epochs = json.loads((job.folder / "curve.json").read_text())["epochs"]
    return float(epochs[-1]["validation_rmse"])


def rmse_of_keras(job: Job, seeds: Iterable[int]) -> list[float]:
    """Train one compiled Keras model anew from the weights of each seed, its dropout drawing on."""
    train_rows, validation = Rows.open(job, "train"), Rows.open(job, "validation")
    template = build_network(job)
    optimizer = make_optimizer(job.settings, steps_per_epoch=5)
    template.compile(optimizer, "mse", jit_compile=False)
    optimizer.build(template.trainable_variables)
    fresh = [np.array(variable, copy=True) for variable in optimizer.variables]
    predict = Predictor(template, job)
    scores = []
    for weights in map(InitialWeights(template, job.seed).draw, seeds):
        for variable in template.weights:
            variable.assign(weights[variable.path])
        for variable, value in zip(optimizer.variables, fresh, strict=True):
            variable.assign(value)
        inputs = {name: np.asarray(array) for name, array in train_rows.inputs.items()}
        template.fit(inputs, np.asarray(train_rows.wanted), batch_size=16, epochs=job.epochs, verbose=0)
        scores.append(float(np.sqrt(np.mean((predict(validation) - validation.truth) ** 2))))
    return scores


@pytest.mark.long
def test_dropout_of_both_engines_is_the_same_in_distribution(programs: Programs, tmp_path: Path) -> None:
    """Two samples of 64 scores: a difference of the means by 0.85 standard deviations would be seen in 9 of 10 tests.

    The power is that of the Kolmogorov-Smirnov test at the level 0.01 for normal scores, found by simulation.
    """
    settings = {"model.dropout": 0.5, "model.input_dropout": 0.2, "training.epochs": 3, "training.learning_rate": 0.01}
    job = make_job(tmp_path, "regression", **settings, **{"training.early_stopping": None})
    job = dataclasses.replace(job, dials=frozenset({"model.dropout", "model.input_dropout"}))
    seeds = range(100, 164)
    on = [in_folder(job, f"on-{seed}", seed=seed) for seed in seeds]
    off_settings = {**job.settings, "model.dropout": 0.0, "model.input_dropout": 0.0}
    off = [in_folder(job, f"off-{seed}", seed=seed, settings=off_settings) for seed in seeds]

    train([*on, *off], programs)
    theirs = rmse_of_keras(job, seeds)

    assert ks_2samp([last_rmse(one) for one in on], theirs).pvalue > 0.01
    assert ks_2samp([last_rmse(one) for one in off], theirs).pvalue < 1e-3
