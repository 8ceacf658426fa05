#!/usr/bin/env bash
# Expected: a metric logged as infinity is infinity in the run and in its history (NaN does come back as NaN).
# Happens:  on SQLite it comes back as 1.797e308, the largest float: `math.isinf` says no, and a mean over runs is spoilt.
source "$(dirname "${BASH_SOURCE[0]}")/fresh.bash" mlflow-skinny==3.17.2 sqlalchemy==2.1.9 alembic==1.20.1
python - <<'PY'
import logging
import math

from mlflow import MlflowClient
from mlflow.entities import Metric

logging.disable(logging.WARNING)
client = MlflowClient("sqlite:///runs.db")
experiment = client.create_experiment("e")


def new_run():
    return client.create_run(experiment).info.run_id


run = new_run()
for name, value in (("up", math.inf), ("down", -math.inf), ("none", math.nan)):
    client.log_metric(run, name, value, step=1)
back = {name: client.get_metric_history(run, name)[0].value for name in ("up", "down", "none")}
print("logged inf, -inf, nan; history:", back, " infinite:", math.isinf(back["up"]))
if back["up"] != 1.7976931348623157e308 or back["down"] != -back["up"] or not math.isnan(back["none"]):
    raise SystemExit("changed")
PY
