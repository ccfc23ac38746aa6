"""What is measured in a kind of image (a PET, a T2, a DCE): its map, the scale of its intensities, its settings."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from imrad.exceptions import ConfigError

__all__ = ["INTENSITIES", "MAPS", "ImageSettings", "Intensity", "MapName", "Within", "parse_intensity"]

Intensity = Literal["stored", "suv", "zscore", "percentile"]
Within = Literal["image", "body", "region"]
MapName = Literal[
    "slope_per_min",
    "wash_in_slope_per_min",
    "wash_out_slope_per_min",
    "time_to_peak_s",
    "peak_enhancement",
    "peak_enhancement_percent",
]

INTENSITIES: dict[str, str] = {
    "stored": "as the file holds it, rescaled (HU in CT)",
    "suv": "PET: standardised uptake value by body weight, g/ml",
    "zscore": "mean 0 and standard deviation 1 within the image, the body or the region",
    "percentile": "two percentiles within the image, the body or the region become 0 and 1",
}
MAPS: dict[str, str] = {
    "slope_per_min": "least-squares slope of intensity over all time points, intensity per minute",
    "wash_in_slope_per_min": "least-squares slope from the last unenhanced volume to the peak, intensity per minute",
    "wash_out_slope_per_min": "least-squares slope from the peak to the last volume, intensity per minute",
    "time_to_peak_s": "time from the last unenhanced volume to the peak, s",
    "peak_enhancement": "peak minus the mean unenhanced intensity",
    "peak_enhancement_percent": "peak enhancement in percent of the mean unenhanced intensity",
}


class ImageSettings(BaseModel):
    """How one kind of image, named in the column ``series`` of cases.csv, is read and measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    intensity: Intensity = Field(default="stored", description="Scale of the intensities, by name.")
    within: Within = Field(default="body", description="Whose voxels tell zscore and percentile their scale.")
    percentiles: tuple[float, float] = Field(
        default=(1.0, 99.0), description="Percentiles that become 0 and 1 (intensity: percentile)."
    )
    factor: float = Field(default=1.0, gt=0, description="Multiplies what zscore and percentile give.")
    maps: tuple[MapName, ...] = Field(
        default=(), description="Maps of an image of several time points; each becomes an image of its own."
    )
    times_s: tuple[float, ...] = Field(
        default=(), description="Acquisition times of the time points in s, where cases.csv has no column times_s."
    )
    unenhanced: int = Field(default=1, ge=1, description="Time points before contrast arrives.")
    settings: str | None = Field(
        default=None, description="Extraction settings of this kind alone: a file, or a name that comes with imrad."
    )

    @model_validator(mode="after")
    def _combinations(self) -> ImageSettings:
        low, high = self.percentiles
        if not 0 <= low < high <= 100:
            message = f"percentiles must be two rising numbers from 0 to 100, not {list(self.percentiles)}"
            raise ValueError(message)
        if len(set(self.maps)) != len(self.maps):
            message = f"maps names one twice: {', '.join(self.maps)}"
            raise ValueError(message)
        if self.maps and self.intensity == "suv":
            message = "intensity suv cannot be that of maps over time; take stored, zscore or percentile"
            raise ValueError(message)
        return self


def parse_intensity(text: str) -> ImageSettings:
    """Read the column ``intensity`` of a table of cases: ``suv``, ``zscore:body``, ``percentile:region``, ``stored``.

    Raises
    ------
    ConfigError
        If it is none of them.
    """
    name, _, within = (part.strip().lower() for part in text.partition(":"))
    given: dict[str, Any] = {"intensity": name}
    if within:
        given["within"] = within
    try:
        return ImageSettings(**given)
    except ValidationError as error:
        message = (
            f"intensity '{text}' is not known; write one of {', '.join(INTENSITIES)}, and zscore and percentile with "
            f":image, :body or :region"
        )
        raise ConfigError(message) from error
