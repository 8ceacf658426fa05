"""Edits that lose information: what they did cannot be undone."""

from __future__ import annotations

import cv2
import numpy as np

from rl_aesthetics.transforms.transform import Transform


def gaussian_blur_3(images_BGR: np.ndarray) -> np.ndarray:
    """Gaussian blur with a 3×3 kernel (sigma 0.8, OpenCV's choice for that size), mirrored borders."""
    height, width = images_BGR.shape[-3:-1]
    flat = images_BGR.reshape(-1, height, width, 3)
    return np.stack([cv2.GaussianBlur(image, (3, 3), 0) for image in flat]).reshape(images_BGR.shape)


TRANSFORMS = (Transform("gaussian_blur_3", gaussian_blur_3, ("GaussianBlur3",), "blur, 3×3"),)
