#!/usr/bin/env bash
# Expected: `quality=-1`, which pillow-heif calls lossless, gives back every pixel.
# Happens:  the colours are halved in size and go through YCbCr first: the encoder is lossless, what it is given is not.
#           With `chroma=444` most pixels are one level off; with `matrix_coefficients=0` as well it is exact.
source "$(dirname "${BASH_SOURCE[0]}")/fresh.bash" pillow-heif==1.8.1 pillow==13.0.0 numpy==2.4.6
python - <<'PY'
import io

import numpy as np
import pillow_heif
from PIL import Image

pillow_heif.register_heif_opener()
photo_HWC = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)


def worst(**options):
    file = io.BytesIO()
    Image.fromarray(photo_HWC).save(file, "HEIF", quality=-1, **options)
    back_HWC = np.asarray(Image.open(file).convert("RGB"))
    return int(np.abs(back_HWC.astype(int) - photo_HWC).max())


plain, full, exact = worst(), worst(chroma=444), worst(chroma=444, matrix_coefficients=0)
print(f"worst pixel: quality=-1 {plain}, with chroma=444 {full}, with matrix_coefficients=0 too {exact}")
if plain < 10 or not 1 <= full <= 3 or exact != 0:
    raise SystemExit("changed")
PY
