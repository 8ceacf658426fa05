#!/usr/bin/env bash
# Expected: `arrays(np.uint8, (64, 64))` draws pictures with texture; at least half of them have more than 100 values.
# Happens:  a few pixels are drawn and all others filled with one value: the commonest value covers 95 % or more of every
#           picture, the median picture has some 13 values. A property test over pictures hardly sees an edge or a gradient.
source "$(dirname "${BASH_SOURCE[0]}")/fresh.bash" hypothesis==6.170.15 numpy==2.4.6
python - <<'PY'
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis.extra.numpy import arrays

seen = []


@settings(max_examples=200, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(arrays(np.uint8, (64, 64)))
def look(picture):
    values, counts = np.unique(picture, return_counts=True)
    seen.append((len(values), counts.max() / picture.size))


look()
values, commonest = np.array(seen).T
print(f"{len(seen)} pictures: more than 100 values in {(values > 100).mean():.1%}, median {np.median(values):.0f} values,")
print(f"the commonest value covers {commonest.min():.0%} or more of each picture")
if (values > 100).mean() > 0.2 or commonest.min() < 0.8:
    raise SystemExit("changed")
PY
