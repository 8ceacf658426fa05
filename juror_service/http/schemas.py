"""What travels over HTTP: the bodies of requests and answers, with examples for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

NPY = "application/x-npy"

EXAMPLE_B64 = (
    "iVBORw0KGgoAAAANSUhEUgAAAAQAAAAECAIAAAAmkwkpAAAALklEQVR42g3HMQEAMBACMeQg4kUgh/FEIbDNFklYRFRIh48cvZ/i"
    "ktL+DI+Mjgd5cxFhAhNF1gAAAABJRU5ErkJggg=="
)
"""A PNG of 4×4 pixels."""


class EncodedImage(BaseModel):
    """A photo as a file in base64."""

    filename: str = Field("", max_length=1024, description="Comes back with the score.", examples=["photo.png"])
    b64: str = Field(description="JPEG, PNG, WebP, TIFF or BMP in base64.", examples=[EXAMPLE_B64])


class EncodedImages(BaseModel):
    """Several photos."""

    images: list[EncodedImage]


class Score(BaseModel):
    """The score of an image; higher is better."""

    filename: str = Field(examples=["photo.png"])
    score: float | None = Field(description="None if this image could not be scored.", examples=[0.8312])
    message: str = Field(description='"ok", or why there is no score.', examples=["ok"])


class Scores(BaseModel):
    """The scores of a batch, in the order sent; one bad image fails alone."""

    fingerprint: str = Field(description="Scores are comparable only under one fingerprint.", examples=["pocket:1f2e"])
    results: list[Score]


class JurorInfo(BaseModel):
    """What a client needs to know before it sends images."""

    fingerprint: str
    size: int = Field(description="Side in pixels of what the juror looks at; send no more than that.", examples=[64])
    max_images: int
    max_body_bytes: int


class Health(BaseModel):
    """Whether the juror can score."""

    status: str = Field(description='"ok", "loading", "failed" or "stopping".', examples=["ok"])
    juror_loaded: bool


class Problem(BaseModel):
    """Why there is no score."""

    error: str = Field(examples=["queue_full"])
    detail: str = Field(examples=["4096 images wait already"])


_MEANINGS = {
    400: "Not decodable: not JSON, not base64, not an image, cut off.",
    401: "The token is missing or wrong.",
    408: "The body did not arrive in time.",
    413: "Too many bytes, pixels or images; decided before decoding.",
    415: "A content type that this route does not take.",
    422: "Decodable, but not what is asked for.",
    429: "Too much is waiting; `Retry-After` says in how many seconds to come again.",
    500: "The juror failed on this image.",
    503: "The juror is loading or stopping.",
    504: "No score within the time allowed.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses for these statuses, or for all."""
    return {status: {"description": _MEANINGS[status], "model": Problem} for status in statuses or _MEANINGS}


BATCH_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["images"],
                    "properties": {"images": {"type": "array", "items": {"$ref": "#/components/schemas/EncodedImage"}}},
                },
                "example": {"images": [{"filename": "photo.png", "b64": EXAMPLE_B64}]},
            },
            NPY: {
                "schema": {
                    "type": "string",
                    "format": "binary",
                    "description": "npy file: RGB (B, H, W, 3) uint8; the quickest way, if H = W = size.",
                }
            },
        },
    }
}
"""The two kinds of body of `/v1/score/batch`, which FastAPI cannot declare side by side."""
