#!/usr/bin/env bash
# Expected: a value that is enqueued outside the range that the objective asks for is refused or clipped.
# Happens:  a warning, and the objective gets it: a learning rate of 7 where at most 1 was allowed, in a complete trial
#           that can become the best one.
source "$(dirname "${BASH_SOURCE[0]}")/fresh.bash" optuna==5.0.0
python - <<'PY'
import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.create_study(direction="maximize")
study.enqueue_trial({"rate": 7.0})
study.optimize(lambda trial: trial.suggest_float("rate", 0.0, 1.0), n_trials=5)
first = study.trials[0]
print("first trial:", first.params, first.state.name, first.distributions, " best value:", study.best_value)
if first.params != {"rate": 7.0} or first.state.name != "COMPLETE" or study.best_value != 7.0:
    raise SystemExit("changed")
PY
