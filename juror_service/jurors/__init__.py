"""The jurors, a file each, and their registry; a juror in another package imports what it needs from here."""

from juror_service.jurors.registry import Juror, available_jurors, load_juror

__all__ = ["Juror", "available_jurors", "load_juror"]
