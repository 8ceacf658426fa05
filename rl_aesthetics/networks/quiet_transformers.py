"""Loading a part of a published network without being told of the rest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep `transformers` from drawing bars and from listing tensors that are in the same files and not wanted.

    Which ones are lacking is for the caller to find out: `from_pretrained(output_loading_info=True)` tells.
    """
    from transformers.utils import logging

    verbosity, had_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bar:
            logging.enable_progress_bar()
