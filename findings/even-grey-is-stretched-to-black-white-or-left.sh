#!/usr/bin/env bash
# Expected: stretching or equalising the contrast of an even grey (128) leaves it, whichever library does it.
# Happens:  OpenCV's normalize and libvips' scaleimage make it black, scikit-image's two equalisations and libvips' make
#           it white; OpenCV's equalizeHist, scikit-image's rescale_intensity and both of Pillow's leave it.
source "$(dirname "${BASH_SOURCE[0]}")/fresh.bash" opencv-python-headless==5.0.0.93 scikit-image==0.26.0 pillow==13.0.0 pyvips==3.2.0 pyvips-binary==8.18.7 numpy==2.4.6
python - <<'PY'
import cv2
import numpy as np
import pyvips
from PIL import Image, ImageOps
from skimage import exposure

grey = np.full((64, 64), 128, np.uint8)
image, vips = Image.fromarray(grey), pyvips.Image.new_from_array(grey)
stretched = {
    "OpenCV normalize NORM_MINMAX": cv2.normalize(grey, None, 0, 255, cv2.NORM_MINMAX),
    "libvips scaleimage": vips.scaleimage().numpy(),
    "scikit-image equalize_hist": exposure.equalize_hist(grey) * 255,
    "scikit-image equalize_adapthist": exposure.equalize_adapthist(grey) * 255,
    "libvips hist_equal": vips.hist_equal().numpy(),
    "OpenCV equalizeHist": cv2.equalizeHist(grey),
    "scikit-image rescale_intensity": exposure.rescale_intensity(grey),
    "Pillow autocontrast": np.asarray(ImageOps.autocontrast(image)),
    "Pillow equalize": np.asarray(ImageOps.equalize(image)),
}
seen = [float(result.max()) for result in stretched.values()]
for name, value in zip(stretched, seen, strict=True):
    print(f"{name:32} {value:g}")
if seen != [0, 0, 255, 255, 255, 128, 128, 128, 128]:
    raise SystemExit("changed")
PY
