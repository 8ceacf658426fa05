import sys

import pytest

from rl_aesthetics_cli.main import main


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command in this process; gives its exit code and what it printed."""

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["rl-aesthetics", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
        printed = capsys.readouterr()
        return exit_.value.code or 0, printed.out, printed.err

    return command
