"""What the sections of the configuration are made of."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from rl_aesthetics.files.redaction import without_secrets

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """Settings under one key; an unknown one is refused."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    def written(self) -> dict[str, Any]:
        """The settings as JSON types, for everything that leaves this process: without secrets."""
        return without_secrets(self.model_dump(mode="json"))
