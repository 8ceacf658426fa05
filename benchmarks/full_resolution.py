"""A photo of 24 megapixels through `enhance`, beside the decisions: seconds, CPU seconds and memory of each part.

    python benchmarks/full_resolution.py

One process, a smooth photo with noise, decoded from JPEG, edited by a tone vector, encoded as JPEG; then the same with
16 bits and PNG. It deliberately leaves out the network, which looks at 64×64 pixels whatever the photo.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from rl_aesthetics.edits.recipe import render
from rl_aesthetics.photos.read import read_photo_file
from rl_aesthetics.photos.write import encode_photo

EDITS = ("exposure_up_3", "temperature_down", "contrast_up", "saturation_up", "highlights_down_3")
HEIGHT, WIDTH = 4000, 6000


def photo(dtype: type) -> np.ndarray:
    """`(4000, 6000, 3)` BGR."""
    rows, columns = np.linspace(0, 1, HEIGHT, dtype=np.float32)[:, None], np.linspace(0, 1, WIDTH, dtype=np.float32)
    planes = [0.2 + 0.5 * columns + 0 * rows, 0.1 + 0.7 * rows + 0 * columns, 0.8 - 0.5 * rows * columns]
    noise = np.random.default_rng(0).normal(0, 0.01, (HEIGHT, WIDTH)).astype(np.float32)
    top = np.iinfo(dtype).max
    return np.stack([(np.clip(plane + noise, 0, 1) * top).astype(dtype) for plane in planes], axis=2)


def measured(name: str, work) -> object:
    """Do some work and print what it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    row = {"part": name, "s": round(time.perf_counter() - wall, 2), "cpu_s": round(time.process_time() - cpu, 2)}
    print(json.dumps({**row, "peak_mb": round(peak)}), flush=True)
    return result


def main() -> None:
    dtype, suffix = (np.uint16, ".png") if "16" in sys.argv[1:] else (np.uint8, ".jpg")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"photo{suffix}"
        file.write_bytes(encode_photo(photo(dtype), suffix))
        pixels = measured("decode", lambda: read_photo_file(file).pixels_HWC)
        print(f"{WIDTH}×{HEIGHT}, {pixels.dtype}, {cv2.getNumThreads()} threads")
        edited = measured(f"render {len(EDITS)} edits", lambda: render(pixels, EDITS))
        measured("encode", lambda: encode_photo(edited, suffix))


if __name__ == "__main__":
    main()
