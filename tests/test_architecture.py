"""The laws of the house: who may import whom. Read from the source, so that nothing has to be imported."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "hptune"
MODULES = sorted(PACKAGE.rglob("*.py"))
HEAVY = ("tensorflow", "keras", "keras_tuner")
SCIENCE = ("sklearn", "scipy")
# A file in the rooms below may import what its neighbours may not.
WITH_TENSORFLOW = (
    "models",
    "strategies",
    "training",
    "artifact",
    "opening",
    "verdict",
    "contest",
    "data.graph",
    "deployment.reshaping",
    "deployment.runtimes",
    "deployment.pruning",
    "deployment.shipping",
)
LONGEST_FILE = 400
FLOORS = (
    ("errors", "objective", "space", "quiet", "schedule", "clock", "machine"),
    ("trial",),
    ("parts", "budget"),
    ("spec",),
    (
        "leaderboard",
        "tuner",
        "changes",
        "environment",
        "interruption",
        "description",
        "metrics",
        "models",
        "resampling",
        "mix",
        "weighing",
        "ambiguity",
        "selection",
    ),
    ("run", "data", "bootstrap", "threshold", "calibration", "comparison"),
    ("strategies", "training", "testrows"),
    ("reporting",),
    ("foreign", "exports", "regularization"),
    ("groundwork", "artifact"),
    (
        "opening",
        "materials",
        "facts",
        "verdict",
        "revisit",
        "starter",
        "adoption",
        "sequel",
        "corners",
        "forecast",
        "proposing",
    ),
    ("assembly", "card", "prediction", "contest", "deployment", "confirmation", "workshop"),
    ("winner", "diagnosis", "candidates"),
    ("combination", "session"),
    ("rehearsal",),
    ("planning",),
    ("api",),
    ("afterwards", "answering"),
    ("console",),
    ("cli",),
)


def name_of(path: Path) -> str:
    """Dotted name inside the package, without the package."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports_of(path: Path, *, top_only: bool = False) -> Iterator[tuple[str, str]]:
    """Yield (module, name) of each import; name is empty for a plain import."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    functions = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped or (top_only and id(node) in functions):
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            yield from ((node.module, alias.name) for alias in node.names)


def room_of(module: str) -> str:
    return module.split(".")[0]


def floor_of(module: str) -> int:
    room = room_of(module)
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def uses(path: Path, packages: tuple[str, ...], *, top_only: bool = False) -> set[str]:
    return {module for module, _ in imports_of(path, top_only=top_only) if module.split(".")[0] in packages}


def may_use_tensorflow(path: Path) -> bool:
    name = name_of(path)
    return any(name == room or name.startswith(room + ".") for room in WITH_TENSORFLOW)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_room_imports_a_room_above_it(path: Path) -> None:
    own = name_of(path)
    if not own:
        return

    for module, name in imports_of(path, top_only=True):
        if module == "hptune" and (PACKAGE / f"{name}.py").exists():
            module = f"hptune.{name}"
        if module.startswith("hptune."):
            other = module.removeprefix("hptune.")
            assert floor_of(other) <= floor_of(own), f"{own} imports {other}, which is above it"


def test_there_is_no_cycle() -> None:
    names = {name_of(path): path for path in MODULES}
    graph = {
        own: {
            candidate
            for module, name in imports_of(path, top_only=True)
            if module.startswith("hptune")
            for candidate in (f"{module}.{name}".removeprefix("hptune."), module.removeprefix("hptune."))
            if candidate in names and candidate != own
        }
        for own, path in names.items()
    }
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, f"import cycle: {' -> '.join((*trail, module))}"
        if module not in done:
            for other in sorted(graph[module]):
                visit(other, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_the_rooms_that_train_import_tensorflow(path: Path) -> None:
    if not may_use_tensorflow(path):
        assert not uses(path, HEAVY)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_strategies_know_keras_tuner(path: Path) -> None:
    if room_of(name_of(path)) != "strategies":
        assert not uses(path, ("keras_tuner",))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_scikit_learn_is_not_imported_on_the_way_to_check_and_report(path: Path) -> None:
    if not may_use_tensorflow(path) and name_of(path) != "metrics":
        assert not uses(path, SCIENCE, top_only=True)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_the_console_and_the_command_line_print(path: Path) -> None:
    if room_of(name_of(path)) not in ("console", "cli"):
        assert not uses(path, ("rich", "typer"))
        calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
        assert not any(isinstance(call.func, ast.Name) and call.func.id == "print" for call in calls)


@pytest.mark.parametrize("path", sorted((PACKAGE / "models").glob("*.py")), ids=name_of)
def test_models_know_nothing_of_hptune_but_errors(path: Path) -> None:
    ours = {module for module, _ in imports_of(path) if module.startswith("hptune")}
    assert all(module.startswith("hptune.models") or module == "hptune.errors" for module in ours)


@pytest.mark.parametrize("path", sorted((PACKAGE / "run").glob("*.py")), ids=name_of)
def test_the_run_room_knows_neither_keras_nor_numpy(path: Path) -> None:
    assert not uses(path, ("keras", "numpy", "tensorflow"))


@pytest.mark.parametrize("path", sorted((PACKAGE / "strategies").glob("*.py")), ids=name_of)
def test_strategies_see_values_and_scores_only(path: Path) -> None:
    ours = {room_of(module.removeprefix("hptune.")) for module, _ in imports_of(path) if module.startswith("hptune.")}
    assert not ours & {"training", "run", "models"}


def test_the_tuner_speaks_to_protocols() -> None:
    modules = {module for module, _ in imports_of(PACKAGE / "tuner.py")}
    ours = {module for module in modules if module.startswith("hptune")}
    assert ours == {"hptune.trial", "hptune.objective", "hptune.budget", "hptune.parts"}
    assert all(module.split(".")[0] in sys.stdlib_module_names for module in modules - ours)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nobody_imports_a_private_name(path: Path) -> None:
    for module, name in imports_of(path):
        private = [part for part in (*module.split("."), name) if part.startswith("_") and not part.startswith("__")]
        assert not private, f"{module}.{name}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_file_is_a_room_one_would_live_in(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST_FILE
    assert ast.get_docstring(ast.parse(text)), "a module begins by saying what it is"
    assert path.stem not in {"utils", "helpers", "base", "common", "manager"}


@pytest.mark.parametrize("words", [["--help"], ["check", "configs/customers.yaml"], ["check", "configs/digits.yaml"]])
def test_help_and_check_import_nothing_heavy(words: list[str]) -> None:
    program = (
        "import sys; from hptune.cli import app; app(sys.argv[1:], standalone_mode=False); "
        f"sys.stderr.write(','.join(sorted(set(sys.modules) & {{*{(*HEAVY, *SCIENCE)!r}}})))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, *words], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stderr == ""
