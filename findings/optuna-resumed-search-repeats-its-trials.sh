#!/usr/bin/env bash
# Expected: a study that is loaded again with the same seed goes on with new points, as if it had not been interrupted.
# Happens:  the sampler starts at its seed again: a random search repeats exactly the points that it has tried. (TPE's
#           random start does so while it has fewer than ten finished trials.)
source "$(dirname "${BASH_SOURCE[0]}")/fresh.bash" optuna==5.0.0
python - <<'PY'
import optuna
from optuna.samplers import RandomSampler, TPESampler

optuna.logging.set_verbosity(optuna.logging.ERROR)
repeated = {}
for sampler in (RandomSampler, TPESampler):
    for _ in range(2):
        study = optuna.create_study(storage="sqlite:///study.db", study_name=sampler.__name__, load_if_exists=True,
                                    sampler=sampler(seed=1))
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=4)
    drawn = [trial.params["x"] for trial in study.trials]
    repeated[sampler.__name__] = drawn[:4] == drawn[4:]
    print(sampler.__name__, [round(x, 3) for x in drawn], "second half repeats the first:", repeated[sampler.__name__])
if not all(repeated.values()):
    raise SystemExit("changed")
PY
