"""The architecture, enforced: who may import whom, what a folder may hold, and how large a file may be."""

import ast
import functools
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

LAYERS = {
    "rl_aesthetics": (
        "errors",
        "files",
        "web",
        "photos",
        "scores",
        "rewards",
        "edits",
        "datasets",
        "networks",
        "episodes",
        "agents",
        "config",
        "plan",
        "evaluation",
        "pages",
        "reports",
        "enhance",
        "studio",
    ),
    "juror_service": ("errors", "batching", "http", "jurors", "training"),
    "ray_cluster": (
        "cluster",
        "jurors",
        "replay",
        "rollout",
        "learner",
        "tracking",
        "checkpoints",
        "train",
        "generate",
        "sweep",
        "deploy",
    ),
    "rl_aesthetics_cli": ("app", "options", "progress", "commands", "main"),
}
"""Packages, and the rooms of each, from the ground up: an import leads to the same room or down, never up."""

ONLY = {"ray": ("ray_cluster",), "mlflow": ("ray_cluster",), "fastapi": ("rl_aesthetics.studio", "juror_service.http")}
"""Who alone may import these."""

MOST_FILES, MOST_LINES = 14, 400
SOURCES = sorted(path.relative_to(ROOT) for package in LAYERS for path in (ROOT / package).rglob("*.py"))


def module_of(path):
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in SOURCES}


def room_of(module):
    """(package, room) of a module; the command line's modules that are no room of their own are its commands."""
    package, _, rest = module.partition(".")
    room = rest.partition(".")[0]
    if package == "rl_aesthetics_cli" and room not in LAYERS[package]:
        room = "main" if room == "__main__" else "commands" if room else ""
    return package, room


def height(module):
    """Where a module stands: its package's floor, then its room's; a package's own `__init__` is at its foot."""
    package, room = room_of(module)
    return list(LAYERS).index(package), LAYERS[package].index(room) if room else -1


@functools.cache
def parse(path):
    return ast.parse((ROOT / path).read_text(), str(path))


def imports(path):
    """(module, line) of every import of a file, wherever it stands: in functions and for type checkers, too."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import hides who imports whom"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield (name if name in MODULES else node.module), node.lineno


def own_imports(path):
    return [(name, line) for name, line in imports(path) if name.partition(".")[0] in LAYERS]


def picture(found):
    """The table of layers, top down, and below it what breaks it."""
    rooms = [f"  {package:18} {'  '.join(reversed(rooms))}" for package, rooms in reversed(list(LAYERS.items()))]
    return "\n".join(["", "layers, from the top:", *rooms, "not so:", *(f"  {line}" for line in found)])


def unit_tests():
    """The unit tests and what they import of `tests/support`, by any number of steps."""
    support = {path.stem: path for path in (ROOT / "tests" / "support").glob("*.py")}
    waiting, found = list((ROOT / "tests" / "unit").rglob("*.py")), set()
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += [support[name] for name, _ in imports(path) if name in support]
    return sorted(path.relative_to(ROOT) for path in found)


def of_package(name):
    return [module for module in MODULES if module.partition(".")[0] == name]


def parts():
    """Modules to be imported one part after the other."""
    domain = of_package("rl_aesthetics")
    return {
        "help and configuration": ["rl_aesthetics_cli.main", "rl_aesthetics.config.config"],
        "the command line": of_package("rl_aesthetics_cli"),
        "the domain without its web pages": [module for module in domain if ".studio." not in f"{module}."],
        "the domain": domain,
        "the juror service": of_package("juror_service"),
        "the unit tests": sorted({name for path in unit_tests() for name, _ in own_imports(path) if name in MODULES}),
    }


LOADER = """
import importlib, json, sys
loaded = {}
for part, modules in json.load(sys.stdin).items():
    for module in modules:
        importlib.import_module(module)
    loaded[part] = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps(loaded))
"""


@pytest.fixture(scope="module")
def loaded():
    """By part, the top-level names of all that a fresh interpreter has imported by then."""
    ran = subprocess.run(
        [sys.executable, "-c", LOADER],
        input=json.dumps(parts()),
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert ran.returncode == 0, ran.stderr
    return {part: set(names) for part, names in json.loads(ran.stdout).items()}


def test_every_room_is_in_the_table():
    assert {room_of(module) for module in MODULES} <= {
        (package, room) for package, rooms in LAYERS.items() for room in ("", *rooms)
    }


def test_imports_lead_down():
    found = [
        f"{path}:{line} imports {name}"
        for path in SOURCES
        for name, line in own_imports(path)
        if height(name) > height(module_of(path))
    ]
    assert not found, picture(found)


def test_no_module_imports_itself_by_way_of_others():
    graph = {module: {name for name, _ in own_imports(path)} & set(MODULES) for module, path in MODULES.items()}
    while True:
        imported = set().union(*graph.values()) if graph else set()
        free = [module for module, names in graph.items() if not names & set(graph) or module not in imported]
        if not free:
            break
        graph = {module: names for module, names in graph.items() if module not in free}
    # What is left lies in a circle, or between two.
    circle = [f"{module} imports {', '.join(sorted(names & set(graph)))}" for module, names in sorted(graph.items())]
    assert not circle, picture(circle)


def test_ray_mlflow_and_the_web_framework_are_imported_in_their_rooms_alone():
    found = [
        f"{path}:{line} imports {name}"
        for path in SOURCES
        for name, line in imports(path)
        if (rooms := ONLY.get(name.partition(".")[0]))
        and not any(f"{module_of(path)}.".startswith(f"{room}.") for room in rooms)
    ]
    assert not found, picture(found)


# What each part loads, in the order of `parts`: what a part must not load, those before it must not either.


def test_help_and_configuration_are_quick_to_load(loaded):
    assert loaded["help and configuration"] & {"torch", "ray", "mlflow"} == set()


def test_the_command_line_imports_what_is_slow_inside_its_commands(loaded):
    slow = {"juror_service", "ray_cluster", "ray", "mlflow", "torch"}
    assert loaded["the command line"] & slow == set()


def test_only_the_web_pages_load_a_web_framework(loaded):
    assert loaded["the domain without its web pages"] & {"fastapi", "uvicorn"} == set()


def test_the_domain_loads_neither_ray_nor_mlflow(loaded):
    assert loaded["the domain"] & {"ray", "mlflow", "juror_service", "ray_cluster"} == set()


def test_the_juror_service_loads_no_ray(loaded):
    assert loaded["the juror service"] & {"ray", "mlflow", "ray_cluster"} == set()


def test_the_unit_tests_load_neither_ray_nor_mlflow(loaded):
    assert {name.partition(".")[0] for path in unit_tests() for name, _ in imports(path)} & {"ray", "mlflow"} == set()
    assert loaded["the unit tests"] & {"ray", "mlflow"} == set()


def test_a_name_means_one_module_of_a_package():
    names = Counter((path.parts[0], path.stem) for path in SOURCES if path.stem != "__init__")
    assert [name for name, count in names.items() if count > 1] == []


def test_a_folder_can_be_taken_in_at_a_glance():
    sizes = Counter(path.parent for path in SOURCES)
    assert [f"{folder}: {count}" for folder, count in sizes.items() if count > MOST_FILES] == []


def test_no_file_is_longer_than_400_lines():
    others = [path.relative_to(ROOT) for folder in ("benchmarks", "examples") for path in (ROOT / folder).glob("*.py")]
    tests = [path.relative_to(ROOT) for path in (ROOT / "tests").rglob("*.py")]
    lines = {path: len((ROOT / path).read_text().splitlines()) for path in [*SOURCES, *others, *tests]}
    assert [f"{path}: {count}" for path, count in lines.items() if count > MOST_LINES] == []


def test_files_are_named_after_what_they_hold():
    vague = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
    assert [path for path in SOURCES if vague & set(path.stem.split("_"))] == []


def test_every_file_says_what_it_is_for():
    assert [path for path in SOURCES if not ast.get_docstring(parse(path))] == []
