# make demo    from sample photos to a trained agent to edited photos, in under ten minutes after the install
# make test    ruff, types and the whole test suite
# make drills  tests that kill workers, machines and drivers of real trainings; a quarter of an hour
# make audit   known weaknesses of the pinned dependencies, from PyPI's advisories; needs to reach pypi.org
# make docs    docs/configuration.md, from the settings in the code

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test drills audit docs install constraints clean

demo: .venv/.samples
	$(BIN)/rl-aesthetics demo

test: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/vulture
	$(BIN)/python -m pytest tests/unit -n 2 --dist loadfile
	$(BIN)/python -m pytest tests/integration tests/ray tests/browser

drills: .venv/.test
	$(BIN)/python -m pytest -m chaos

# Strict: a dependency that could not be asked about fails it. In an environment of its own, so that nothing of it is
# among what it judges.
audit: $(BIN)/python
	$(BIN)/python -m venv .venv/audit
	.venv/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	.venv/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

docs: .venv/.test
	$(BIN)/python docs/write_configuration.py

install: .venv/.samples

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' || \
		{ echo "error: $(PYTHON) is not Python 3.10 to 3.12; name one: make PYTHON=python3.12 …" >&2; exit 2; }
	$(PYTHON) -m venv .venv

.venv/.samples: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[samples]'
	@touch $@

.venv/.test: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@# The vision jurors are compared with these two. They ask for torchvision, of which there is no CPU build, and work
	@# without it.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
		aesthetic-predictor-v2-5==2024.12.18.1 simple-aesthetics-predictor==0.1.2
	@touch $@

# The versions that were tested, for every supported Python; needs uv. torch is one version in any build, so its own
# dependencies, which differ between builds, are left to it.
TORCH := torch==2.13.0
constraints:
	echo "$(TORCH)" > .torch.in
	uv pip compile --quiet --universal --python-version 3.10 --all-extras --no-emit-index-url --no-annotate --no-header \
		--constraint .torch.in pyproject.toml | grep -Ev '^(torch|triton|nvidia-|cuda-)' > constraints.txt
	echo "$(TORCH)" >> constraints.txt
	rm .torch.in

clean:
	rm -rf .venv runs .pytest_cache .ruff_cache .mypy_cache .hypothesis *.egg-info
