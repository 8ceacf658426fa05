"""`python -m rl_aesthetics_cli` is `rl-aesthetics`."""

from rl_aesthetics_cli.main import main

if __name__ == "__main__":
    main()
