#!/usr/bin/env bash
# Expected: with everything ready, `ray.wait(references, num_returns=1)` returns the first of the list.
# Happens:  it returns any of them, another one each time, so a loop that takes one at a time serves nobody in order. What
#           it returns of several is in the order of the list.
source "$(dirname "${BASH_SOURCE[0]}")/fresh.bash" ray==2.60.0
python - 2>/dev/null <<'PY'
import ray

ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False, object_store_memory=100 * 2**20)

firsts, ordered = [], True
for _ in range(30):
    references = [ray.put(number) for number in range(8)]
    firsts.append(ray.get(ray.wait(references, num_returns=1)[0])[0])
    three = ray.get(ray.wait(references, num_returns=3)[0])
    ordered &= three == sorted(three)
print("the one returned of eight that are ready:", *firsts)
print("several are returned in the order of the list:", ordered)
if set(firsts) == {0} or not ordered:
    raise SystemExit(print("changed") or 1)
PY
