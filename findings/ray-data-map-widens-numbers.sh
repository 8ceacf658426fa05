#!/usr/bin/env bash
# Expected: `dataset.map(lambda row: row)` changes nothing.
# Happens:  rows hold Python numbers, so a float32 column becomes float64 and uint8 becomes int64, eight times the memory;
#           arrays keep their type. `map_batches` keeps all.
source "$(dirname "${BASH_SOURCE[0]}")/fresh.bash" 'ray[data]==2.60.0' numpy==2.4.6
python - 2>/dev/null <<'PY'
import numpy as np
import ray

ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False, object_store_memory=100 * 2**20)

import ray.data

ray.data.DataContext.get_current().enable_progress_bars = False

rows = [{"score": np.float32(0.1), "level": np.uint8(200), "photo": np.zeros((2, 2), np.uint8)} for _ in range(4)]
given = ray.data.from_items(rows)
seen = {}
for name, dataset in (
    ("given", given),
    ("map", given.map(lambda row: row)),
    ("map_batches", given.map_batches(lambda batch: batch)),
):
    batch = next(iter(dataset.iter_batches(batch_size=4)))
    seen[name] = [str(batch[column].dtype) for column in ("score", "level", "photo")]
    print(f"{name:11}", *seen[name])
kept = ["float32", "uint8", "uint8"]
if seen != {"given": kept, "map": ["float64", "int64", "uint8"], "map_batches": kept}:
    raise SystemExit(print("changed") or 1)
PY
