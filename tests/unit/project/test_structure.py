"""The architecture, enforced: who may import whom, and how large a file may be."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGES = ("rl_aesthetics", "juror_service", "ray_cluster")
SOURCES = sorted(path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MODULES = sorted(".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in SOURCES)

# Who may not import what, wherever in a file it stands. The first folder or file that fits a path decides.
FORBIDDEN = {
    "rl_aesthetics/cli": {"fastapi"},
    "rl_aesthetics/studio": {"juror_service", "ray_cluster", "ray", "mlflow"},
    "rl_aesthetics": {"juror_service", "ray_cluster", "ray", "mlflow", "fastapi"},
    "juror_service/http/app.py": {"ray_cluster", "ray", "mlflow"},
    "juror_service": {"ray_cluster", "ray", "mlflow", "fastapi"},
    "ray_cluster": {"fastapi"},
}


def imported(nodes):
    """Top-level names of the modules that the statements import, with the line of each."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import hides who imports whom"
            yield node.module.split(".")[0], node.lineno


def at_import_time(tree):
    """Every statement that runs when the module is imported: not in functions, not for type checkers only."""
    waiting = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        waiting += ast.iter_child_nodes(node)


def test_imports_point_in_one_direction():
    found = []
    for path in SOURCES:
        forbidden = next(names for where, names in FORBIDDEN.items() if path.is_relative_to(where))
        found += [
            f"{path}:{line} imports {name}" for name, line in imported(ast.walk(parse(path))) if name in forbidden
        ]
    assert not found


def test_the_command_line_imports_the_others_inside_its_commands():
    others = {"juror_service", "ray_cluster", "ray", "mlflow", "torch"}
    found = []
    for path in SOURCES:
        if path.is_relative_to("rl_aesthetics/cli"):
            statements = at_import_time(parse(path))
            found += [f"{path}:{line} imports {name}" for name, line in imported(statements) if name in others]
    assert not found


def test_the_domain_loads_neither_ray_nor_mlflow():
    domain = [name for name in MODULES if name.startswith("rl_aesthetics")]
    assert loaded_by(domain) & {"ray", "mlflow", "juror_service", "ray_cluster"} == set()


def test_only_the_web_pages_load_a_web_framework():
    domain = [name for name in MODULES if name.startswith("rl_aesthetics") and ".studio." not in f"{name}."]
    assert loaded_by([*domain, "rl_aesthetics_cli.studio"]) & {"fastapi", "uvicorn"} == set()


def test_the_juror_service_loads_no_ray():
    service = [name for name in MODULES if name.startswith("juror_service")]
    assert loaded_by(service) & {"ray", "mlflow", "ray_cluster"} == set()


def test_help_and_configuration_are_quick_to_load():
    assert loaded_by(["rl_aesthetics_cli.app", "rl_aesthetics.config.config"]) & {"torch", "ray", "mlflow"} == set()


def test_no_file_is_longer_than_400_lines():
    programs = [path.relative_to(ROOT) for path in (ROOT / "benchmarks").glob("*.py")]
    assert [path for path in [*SOURCES, *programs] if len((ROOT / path).read_text().splitlines()) > 400] == []


def test_files_are_named_after_what_they_hold():
    vague = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
    assert [path for path in SOURCES if vague & set(path.stem.split("_"))] == []


def test_every_file_says_what_it_is_for():
    assert [path for path in SOURCES if not ast.get_docstring(parse(path))] == []


def parse(path):
    return ast.parse((ROOT / path).read_text(), str(path))


def loaded_by(modules):
    """Top-level names of everything in `sys.modules` after importing the modules in a fresh interpreter."""
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\nprint(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code, *modules], capture_output=True, text=True, cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    return {name.split(".")[0] for name in ran.stdout.split()}
