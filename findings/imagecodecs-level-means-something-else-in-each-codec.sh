#!/usr/bin/env bash
# Expected: `level` is a quality: 100 loses least, 0 most, and a given level makes a file smaller with a loss.
# Happens:  100 is to the bit for WebP, AVIF and JPEG XR, not for JPEG XL and JPEG 2000 (in JPEG XL 101 and more is);
#           0 is to the bit for WebP, JPEG 2000 and JPEG XR, the worst for JPEG XL and AVIF; WebP loses nothing at any level.
source "$(dirname "${BASH_SOURCE[0]}")/fresh.bash" imagecodecs==2026.3.6 numpy==2.4.6
python - <<'PY'
import imagecodecs
import numpy as np

random = np.random.default_rng(0)
down, across = np.mgrid[:96, :96]
smooth = np.stack([down * 2, across * 2, down + across], -1)
photo_HWC = np.clip(smooth + random.normal(0, 6, (96, 96, 3)), 0, 255).astype(np.uint8)
exact = {}
for codec in ("webp", "avif", "jpegxr", "jpegxl", "jpeg2k"):
    encode, decode = getattr(imagecodecs, f"{codec}_encode"), getattr(imagecodecs, f"{codec}_decode")
    exact[codec] = [np.array_equal(decode(encode(photo_HWC, level=level)), photo_HWC) for level in (0, 50, 100, 101)]
    print(f"{codec:7} exact at level 0, 50, 100, 101:", *exact[codec])
if exact != {
    "webp": [True, True, True, True],
    "avif": [False, False, True, True],
    "jpegxr": [True, False, True, True],
    "jpegxl": [False, False, False, True],
    "jpeg2k": [True, False, False, False],
}:
    raise SystemExit("changed")
PY
