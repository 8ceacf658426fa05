#!/usr/bin/env bash
# Expected: a histogram that observes NaN counts it, or leaves it out altogether, or refuses it.
# Happens:  it is in no bucket and not in the count, but in the sum, which is NaN from then on until the process ends: the
#           average of every later period is gone.
source "$(dirname "${BASH_SOURCE[0]}")/fresh.bash" prometheus-client==0.26.0
python - <<'PY'
import math

from prometheus_client import CollectorRegistry, Histogram

registry = CollectorRegistry()
scores = Histogram("score", "scores", buckets=[0.5, 1], registry=registry)
for score in (0.2, math.nan, 0.7, 0.9):
    scores.observe(score)
count, total = registry.get_sample_value("score_count"), registry.get_sample_value("score_sum")
print("observed 0.2, NaN, 0.7, 0.9: count", count, "sum", total)
if count != 3 or not math.isnan(total):
    raise SystemExit("changed")
PY
