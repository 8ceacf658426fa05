#!/usr/bin/env bash
# Expected: 8-bit hue is 0 to 179, in HLS as in HSV, so that a table of 180 entries or a histogram up to 180 holds all.
# Happens:  31,684 reds have hue 180 in HLS; in HSV the same colours have 179 or 0.
source "$(dirname "${BASH_SOURCE[0]}")/fresh.bash" opencv-python-headless==5.0.0.93 numpy==2.4.6
python - <<'PY'
import cv2
import numpy as np

every = np.arange(1 << 24, dtype=np.uint32)
colours_HWC = np.stack([every >> 16 & 255, every >> 8 & 255, every & 255], -1).astype(np.uint8).reshape(4096, 4096, 3)
hls = cv2.cvtColor(colours_HWC, cv2.COLOR_BGR2HLS)[..., 0]
hsv = cv2.cvtColor(colours_HWC, cv2.COLOR_BGR2HSV)[..., 0]
beyond = hls > 179
print(f"highest hue: HLS {hls.max()}, HSV {hsv.max()}; colours with hue 180 in HLS: {beyond.sum()}")
print("for example BGR", colours_HWC[beyond][0], "; hue of these colours in HSV:", np.unique(hsv[beyond]))
if hls.max() != 180 or hsv.max() != 179 or set(np.unique(hsv[beyond])) != {0, 179}:
    raise SystemExit("changed")
PY
