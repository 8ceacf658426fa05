#!/usr/bin/env bash
# Expected: `train_test_split(0.2, shuffle=True, seed=1)` of the same rows is the same split.
# Happens:  it depends on how the rows lie in blocks, which depends on files, their sizes and the cluster: the same rows in
#           one block and in four give other test sets, so a photo that was trained on may be tested with elsewhere.
source "$(dirname "${BASH_SOURCE[0]}")/fresh.bash" 'ray[data]==2.60.0' numpy==2.4.6
python - 2>/dev/null <<'PY'
import ray

ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False, object_store_memory=100 * 2**20)

import ray.data

ray.data.DataContext.get_current().enable_progress_bars = False



def tested(blocks):
    _, test = ray.data.range(20, override_num_blocks=blocks).train_test_split(0.2, shuffle=True, seed=1)
    return sorted(row["id"] for row in test.take_all())


one, four, four_again = tested(1), tested(4), tested(4)
print("test rows with seed 1: one block", one, " four blocks", four, " four blocks again", four_again)
if one == four or four != four_again:
    raise SystemExit(print("changed") or 1)
PY
