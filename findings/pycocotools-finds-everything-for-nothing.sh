#!/usr/bin/env bash
# Expected: `getAnnIds(imgIds=[])`, with the empty list that a search for pictures gave, finds no annotation; and
#           `getImgIds(catIds=[1, 2])` finds the pictures of either category, as `getAnnIds(catIds=[1, 2])` does.
# Happens:  an empty list is no filter at all, so every annotation of the dataset is found; of two categories only the
#           pictures that hold both are found.
source "$(dirname "${BASH_SOURCE[0]}")/fresh.bash" pycocotools==2.0.11 numpy==2.4.6
python - <<'PY'
from pycocotools.coco import COCO

coco = COCO()
coco.dataset = {
    "images": [{"id": i, "width": 64, "height": 64} for i in (1, 2, 3)],
    "categories": [{"id": 1, "name": "darker"}, {"id": 2, "name": "warmer"}],
    "annotations": [
        {"id": n, "image_id": image, "category_id": category, "bbox": [0, 0, 9, 9], "area": 81, "iscrowd": 0}
        for n, (image, category) in enumerate([(1, 1), (2, 2), (3, 1), (3, 2)], 1)
    ],
}
coco.createIndex()
nothing, unknown = coco.getAnnIds(imgIds=[]), coco.getAnnIds(imgIds=[99])
images, annotations = coco.getImgIds(catIds=[1, 2]), coco.getAnnIds(catIds=[1, 2])
print("annotations of no picture:", nothing, " of an unknown picture:", unknown)
print("pictures of categories 1, 2:", images, " annotations of categories 1, 2:", annotations)
if (nothing, unknown, images, annotations) != ([1, 2, 3, 4], [], [3], [1, 2, 3, 4]):
    raise SystemExit("changed")
PY
