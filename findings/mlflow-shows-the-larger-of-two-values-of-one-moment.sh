#!/usr/bin/env bash
# Expected: of two values of a metric with one step and one time stamp, the run shows the one that was logged last, and
#           the history keeps the order.
# Happens:  the run shows the larger one, whichever came last, and the history lists them by size; of different steps it
#           shows the highest step, not the last logged. A score that was corrected downwards keeps its old value.
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


shown = {}
for values in ((0.9, 0.1), (0.1, 0.9)):
    run = new_run()
    for value in values:
        client.log_batch(run, [Metric("score", value, 1000, 7)])
    shown[values] = client.get_run(run).data.metrics["score"]
    history = [metric.value for metric in client.get_metric_history(run, "score")]
    print(f"logged {values}: the run shows {shown[values]}, the history {history}")
run = new_run()
client.log_batch(run, [Metric("score", 1.0, 1000, 10)])
client.log_batch(run, [Metric("score", 2.0, 2000, 5)])
step = client.get_run(run).data.metrics["score"]
print("1.0 logged for step 10, later 2.0 for step 5: the run shows", step)
if set(shown.values()) != {0.9} or step != 1.0:
    raise SystemExit("changed")
PY
