"""The vision jurors that tests make tiny releases of."""

from juror_service.jurors import aesthetic_v2_5, laion

SIGLIP, CLIP = aesthetic_v2_5.RELEASE, laion.RELEASES["mlp"]
JURORS = {"aesthetic_v2_5": ("siglip", {}), "laion": ("clip", {}), "laion linear": ("clip", {"head": "linear"})}
