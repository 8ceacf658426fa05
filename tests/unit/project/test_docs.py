"""What the documents say about commands, settings and files is so."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
import typer.main

from rl_aesthetics.config.config import load_config, settings
from rl_aesthetics_cli import main as cli

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(?:bash|sh|console)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(page):
    """The `rl-aesthetics` calls in the code blocks of a page, as lists of words."""
    for block in BLOCK.findall(page.read_text()):
        for line in block.replace("\\\n", " ").splitlines():
            if " rl-aesthetics " in f" {line}":
                words = shlex.split(line, comments=True)
                yield [word for word in words[words.index("rl-aesthetics") + 1 :] if word != "--help"]


@pytest.fixture(scope="module")
def program():
    return typer.main.get_command(cli.app)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_has_the_options_that_it_is_shown_with(page, program):
    for words in commands(page):
        command, rest = program, list(words)
        while rest and hasattr(command, "commands"):
            assert rest[0] in command.commands, f"{page.name}: no command {' '.join(words)}"
            command = command.commands[rest.pop(0)]
        known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        shown = {word.split("=")[0] for word in rest if word.startswith("--")}
        assert shown <= known, f"{page.name}: {' '.join(words)}"
        # What CONTRIBUTING.md trains with is there once it is followed: tests/integration/test_contributing.py does.
        if "train" in words[:1] and page.name != "CONTRIBUTING.md":
            load_config(None, [word for word in rest if "=" in word and not word.startswith("-")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page):
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)|src=\"([^\"]+)\"", page.read_text())
    files = {target for pair in targets for target in pair if target and "://" not in target}
    assert {file for file in files if not (page.parent / file).exists()} == set()


def test_every_file_in_the_readmes_tree_is_there():
    tree = next(
        block for block in BLOCK.findall((ROOT / "README.md").read_text()) if block.startswith("rl_aesthetics/")
    )
    folder, shown = ROOT, []
    for line in tree.splitlines():
        names = line[: line.index("  ", 3)].strip().split(", ")
        if not line.startswith(" "):
            folder = ROOT / names[0]
            shown.append(folder)
        else:
            shown += [folder / name for name in names]
    assert len(shown) > 30
    assert [path for path in shown if not path.exists()] == []


def test_the_configuration_page_is_up_to_date():
    spec = importlib.util.spec_from_file_location("write_configuration", ROOT / "docs" / "write_configuration.py")
    writer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(writer)
    assert writer.PAGE.read_text() == writer.page(), "run `make docs`"


def test_every_setting_is_explained():
    assert [key for key, _, meaning in settings() if not meaning] == []


def test_the_guides_configuration_is_the_default():
    assert load_config(ROOT / "configs" / "default.yaml") == load_config()
