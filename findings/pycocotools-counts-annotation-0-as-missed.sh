#!/usr/bin/env bash
# Expected: how annotations are numbered does not change the average precision of perfect detections, which is 1.
# Happens:  numbered from 0, the first annotation is never found: 0 stands for "no match" in COCOeval. 0.626 instead of 1.
source "$(dirname "${BASH_SOURCE[0]}")/fresh.bash" pycocotools==2.0.11 numpy==2.4.6
python - <<'PY'
import contextlib
import io

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def average_precision(first):
    coco = COCO()
    places = [(1, 1), (2, 2), (3, 1), (3, 2)]
    boxes = [{"image_id": i, "category_id": c, "bbox": [5, 5, 20, 20], "area": 400, "iscrowd": 0} for i, c in places]
    coco.dataset = {
        "images": [{"id": i, "width": 64, "height": 64} for i in (1, 2, 3)],
        "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
        "annotations": [{"id": first + n, **box} for n, box in enumerate(boxes)],
    }
    coco.createIndex()
    found = coco.loadRes([{"score": 0.9, **box} for box in boxes])
    evaluation = COCOeval(coco, found, "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return float(evaluation.stats[0])


with contextlib.redirect_stdout(io.StringIO()):
    from_0, from_1 = average_precision(0), average_precision(1)
print(f"perfect detections, average precision: annotations from 0 {from_0:.3f}, from 1 {from_1:.3f}")
if from_1 != 1 or not 0.5 < from_0 < 0.7:
    raise SystemExit("changed")
PY
