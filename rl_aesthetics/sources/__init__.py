"""Where photos come from: a folder, the sample photos of installed packages, or a downloadable archive."""

from rl_aesthetics.sources.photo import PhotoError, read_photo

__all__ = ["PhotoError", "read_photo"]
