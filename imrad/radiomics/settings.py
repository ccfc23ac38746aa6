"""Settings of feature extraction, under the keys of pyradiomics parameter files."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from imrad.exceptions import ConfigError
from imrad.radiomics.features import CLASSES
from imrad.radiomics.parameter_file import as_keywords, read_parameter_file
from imrad.radiomics.setting_names import (
    BEFORE_FILTERS,
    IMAGE_TYPES,
    INTERPOLATORS,
    check_feature,
    known_key,
    nearest,
)

__all__ = ["FilterSettings", "RadiomicsSettings"]


def _original() -> dict[str, dict[str, Any]]:
    return {"Original": {}}


def _seven_classes() -> dict[str, tuple[str, ...]]:
    return {name: () for name in CLASSES if name != "shape2D"}


class FilterSettings(BaseModel):
    """Settings that may also be given for one image type alone (``imageType: {LoG: {sigma: [3]}}``)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    binWidth: float = Field(
        default=25.0, gt=0, description="Width of a grey level, in intensity units; bins start at 0."
    )
    binCount: int | None = Field(default=None, gt=0, description="Number of grey levels, instead of a width.")
    force2D: bool = Field(default=False, description="Texture and wavelet within slices only.")
    force2Ddimension: int = Field(default=0, ge=0, le=2, description="Axis across the slices: 0 is z, 1 is y, 2 is x.")
    distances: tuple[int, ...] = Field(default=(1,), description="Neighbour distances in voxels (GLCM, NGTDM, GLDM).")
    weightingNorm: Literal["manhattan", "euclidean", "infinity", "no_weighting"] | None = Field(
        default=None, description="Merge GLCM and GLRLM directions, weighted by this norm; default averages features."
    )
    symmetricalGLCM: bool = Field(default=True, description="Count each pair of voxels in both orders.")
    gldm_a: int = Field(default=0, ge=0, description="Largest grey level difference of dependent voxels.")
    voxelArrayShift: int = Field(
        default=0, description="Added to intensities in Energy, TotalEnergy and RootMeanSquared."
    )
    wavelet: str = Field(default="coif1", description="Wavelet by its PyWavelets name.")
    start_level: int = Field(
        default=0, ge=0, description="Wavelet levels to descend before the first one that is used."
    )
    level: int = Field(default=1, ge=1, description="Number of wavelet levels.")
    sigma: tuple[int | float, ...] = Field(default=(), description="Widths of the Laplacian of Gaussian, in mm.")
    gradientUseSpacing: bool = Field(default=True, description="Gradient per mm rather than per voxel.")
    lbp2DRadius: float = Field(default=1.0, gt=0, description="Radius of the sampled circle, in voxels.")
    lbp2DSamples: int = Field(default=8, ge=1, description="Number of samples on the circle.")
    lbp2DMethod: Literal["default", "ror", "uniform", "var"] = Field(
        default="uniform", description="How patterns are coded."
    )
    lbp3DLevels: int = Field(default=2, ge=1, description="Levels of the spherical harmonics.")
    lbp3DIcosphereRadius: float = Field(default=1.0, gt=0, description="Radius of the sampled sphere, in voxels.")
    lbp3DIcosphereSubdivision: int = Field(default=1, ge=0, description="Subdivisions of the icosahedron.")

    @field_validator("distances")
    @classmethod
    def _positive_distances(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or min(value) < 1 or len(set(value)) != len(value):
            message = f"distances must be different whole numbers from 1 up, not {list(value)}"
            raise ValueError(message)
        return value

    @field_validator("sigma")
    @classmethod
    def _positive_sigma(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if any(sigma <= 0 for sigma in value):
            message = f"sigma must be above 0 mm, not {list(value)}"
            raise ValueError(message)
        return value

    @field_validator("wavelet")
    @classmethod
    def _known_wavelet(cls, value: str) -> str:
        import pywt

        known = pywt.wavelist(kind="discrete")
        if value not in known:
            message = f"wavelet {value!r} is not one of PyWavelets' discrete wavelets{nearest(value, known)}"
            raise ValueError(message)
        return value


class RadiomicsSettings(FilterSettings):
    """What is extracted, and how; a pyradiomics parameter file says it with the same keys.

    The defaults are those of pyradiomics 3.0.1: the original image, all seven classes, bin width
    25, no resampling.

    Examples
    --------
    >>> RadiomicsSettings(imageType={"Original": {}, "LoG": {"sigma": [1, 3]}}, binWidth=10).binWidth
    10.0
    """

    mode: Literal["pyradiomics", "ibsi"] = Field(
        default="pyradiomics",
        description="pyradiomics' definitions, or those of the Image Biomarker Standardisation Initiative.",
    )
    imageType: dict[str, dict[str, Any]] = Field(
        default_factory=_original, description="Image types, each with settings of its own."
    )
    featureClass: dict[str, tuple[str, ...]] = Field(
        default_factory=_seven_classes,
        description="Feature classes, each with the features wanted (none named: all).",
    )
    label: int = Field(default=1, ge=1, description="Value of the region in the mask.")
    label_channel: int = Field(default=0, ge=0, description="Channel of a mask with several components per voxel.")
    normalize: bool = Field(
        default=False, description="Centre and scale the image by its own mean and standard deviation."
    )
    normalizeScale: float = Field(default=1.0, gt=0, description="Factor after normalisation.")
    removeOutliers: float | None = Field(default=None, gt=0, description="Clip at this many standard deviations.")
    resampledPixelSpacing: tuple[float, float, float] | None = Field(
        default=None, description="New voxel spacing in mm along x, y, z; 0 keeps an axis."
    )
    interpolator: str | None = Field(default="sitkBSpline", description="SimpleITK interpolator of the image.")
    padDistance: int = Field(default=5, ge=0, description="Voxels kept around the region when cropping or resampling.")
    preCrop: bool = Field(default=False, description="Crop to the region before filtering.")
    resegmentRange: tuple[float, ...] | None = Field(default=None, description="Intensities kept in the region.")
    resegmentMode: Literal["absolute", "relative", "sigma"] = Field(
        default="absolute", description="Meaning of the range."
    )
    resegmentShape: bool = Field(default=False, description="Shape follows the re-segmented region too.")
    minimumROIDimensions: int = Field(
        default=2, ge=1, le=3, description="Axes along which a region must exceed one voxel."
    )
    minimumROISize: int | None = Field(default=None, gt=0, description="A region must have more voxels than this.")
    correctMask: bool = Field(default=False, description="Resample a mask of another geometry onto the image.")
    geometryTolerance: float = Field(default=1e-6, gt=0, description="Relative tolerance of equal geometry.")
    additionalInfo: bool = Field(
        default=True, description="Accepted; diagnostics are not features and never among them."
    )
    ivhBinWidth: float | None = Field(
        default=None,
        gt=0,
        description="Bin width of IBSI's intensity-volume histogram (mode ibsi); default 1 for whole-number images.",
    )
    logSupport: Literal["pad", "full"] = Field(
        default="pad",
        description="LoG after resampling: on the padded crop, as pyradiomics, or with the filter's full support.",
    )

    @field_validator("imageType", mode="before")
    @classmethod
    def _image_types(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or not value:
            message = "imageType must name at least one image type, such as {Original: {}}"
            raise ValueError(message)
        settings = {}
        for name, own in value.items():
            if name not in IMAGE_TYPES:
                message = f"imageType has no {name!r}{nearest(str(name), IMAGE_TYPES)}"
                raise ValueError(message)
            if own and not isinstance(own, Mapping):
                message = f"imageType {name} needs settings by name, such as {name}: {{binWidth: 10}}, not {own!r}"
                raise ValueError(message)
            own = dict(own or {})
            for key in own:
                if key in BEFORE_FILTERS:
                    message = f"{key} acts before the filters and cannot be set for {name} alone"
                    raise ValueError(message)
                known_key(key, FilterSettings.model_fields, f"imageType {name}")
            settings[name] = own
        return settings

    @field_validator("featureClass", mode="before")
    @classmethod
    def _feature_classes(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or not value:
            message = "featureClass must name at least one class, such as {firstorder: []}"
            raise ValueError(message)
        wanted = {}
        for name, features in value.items():
            if name not in CLASSES:
                message = f"featureClass has no {name!r}{nearest(str(name), CLASSES)}"
                raise ValueError(message)
            if features and not isinstance(features, (list, tuple)):
                first = features if isinstance(features, str) else next(iter(CLASSES[name]))
                message = f"featureClass {name} needs a list of features, such as [{first}], not {features!r}"
                raise ValueError(message)
            wanted[name] = tuple(features or ())
            for feature in wanted[name]:
                check_feature(name, str(feature))
        return wanted

    @field_validator("interpolator", mode="before")
    @classmethod
    def _interpolator(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= len(INTERPOLATORS):
            return INTERPOLATORS[value - 1]
        if value is not None and value not in INTERPOLATORS:
            message = f"interpolator {value!r} is not known{nearest(str(value), INTERPOLATORS)}"
            raise ValueError(message)
        return value

    @field_validator("resampledPixelSpacing")
    @classmethod
    def _spacing(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is not None and min(value) < 0:
            message = f"resampledPixelSpacing must not be negative, not {list(value)}"
            raise ValueError(message)
        return value

    @field_validator("resegmentRange")
    @classmethod
    def _range(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is not None and not 1 <= len(value) <= 2:
            message = f"resegmentRange takes one or two thresholds, not {len(value)}"
            raise ValueError(message)
        return value

    @model_validator(mode="after")
    def _combinations(self) -> RadiomicsSettings:
        if "shape2D" in self.featureClass and not self.force2D:
            message = "featureClass shape2D needs force2D: true (and a region one voxel thick)"
            raise ValueError(message)
        if self.mode == "ibsi":
            self._check_ibsi()
        elif self.ivhBinWidth is not None:
            message = "ivhBinWidth belongs to mode: ibsi; pyradiomics has no intensity-volume histogram"
            raise ValueError(message)
        if "LoG" in self.imageType and not self.for_image("LoG").sigma:
            message = "imageType LoG needs sigma, the filter widths in mm: {LoG: {sigma: [1, 3]}}"
            raise ValueError(message)
        for name in self.imageType:
            self.for_image(name)
        return self

    def _check_ibsi(self) -> None:
        if set(self.imageType) != {"Original"} or self.imageType["Original"]:
            message = "mode ibsi covers the original image alone; take mode: pyradiomics for filtered images"
            raise ValueError(message)
        if any(self.featureClass.values()) or "shape2D" in self.featureClass:
            message = "mode ibsi computes whole classes (shape, firstorder, glcm, ...); name no features and no shape2D"
            raise ValueError(message)
        if self.interpolator not in (None, "sitkNearestNeighbor", "sitkLinear", "sitkBSpline"):
            message = (
                f"mode ibsi interpolates by sitkLinear, sitkBSpline or sitkNearestNeighbor, not {self.interpolator}"
            )
            raise ValueError(message)
        if self.resegmentMode == "relative":
            message = "mode ibsi re-segments by an absolute range or by sigma, not relative to the maximum"
            raise ValueError(message)
        fixed = {
            "distances": (1,),
            "weightingNorm": None,
            "symmetricalGLCM": True,
            "voxelArrayShift": 0,
            "force2Ddimension": 0,
            "resegmentShape": False,
            "preCrop": False,
        }
        for key, value in fixed.items():
            if getattr(self, key) != value:
                message = f"mode ibsi fixes {key} at {value}; leave it out"
                raise ValueError(message)

    def for_image(self, image_type: str) -> FilterSettings:
        """Return the settings that hold for one image type, its own over the common ones."""
        common = {key: getattr(self, key) for key in FilterSettings.model_fields}
        own = self.imageType.get(image_type)
        # Checked already, unless it has settings of its own.
        return FilterSettings(**{**common, **own}) if own else FilterSettings.model_construct(**common)

    def features_of(self, feature_class: str) -> tuple[str, ...]:
        """Return the features of a class that are wanted: those named, or all."""
        return self.featureClass[feature_class] or tuple(CLASSES[feature_class])

    @classmethod
    def from_yaml(cls, path: str | Path) -> RadiomicsSettings:
        """Read a pyradiomics parameter file (YAML or JSON) as it is.

        Parameters
        ----------
        path : path-like
            A file with the sections ``imageType``, ``featureClass`` and ``setting``. A
            ``voxelSetting`` section belongs to feature maps, which this engine does not make: it is
            left out with a warning.

        Raises
        ------
        ConfigError
            If a key or a value cannot be used; the nearest valid key is named.
        InputError
            If the file cannot be read.
        """
        return cls.from_parameters(read_parameter_file(Path(path)), origin=str(path))

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any], origin: str = "the parameters") -> RadiomicsSettings:
        """Make settings of a parameter mapping with pyradiomics' sections.

        Raises
        ------
        ConfigError
            If a key or a value cannot be used; the nearest valid key is named.
        """
        try:
            keywords, left_out = as_keywords(parameters, cls.model_fields)
            settings = cls(**keywords)
        except ValidationError as error:
            message = f"{origin}: {_sentence(error)}"
            raise ConfigError(message) from error
        except ValueError as error:
            message = f"{origin}: {error}"
            raise ConfigError(message) from error
        if left_out:
            warnings.warn(f"{origin}: left out: {'; '.join(left_out)}", UserWarning, stacklevel=2)
        return settings

    def to_parameters(self) -> dict[str, Any]:
        """Return the settings as a pyradiomics parameter mapping (imrad's own keys left out)."""
        own = {"imageType", "featureClass", "mode", "logSupport", "ivhBinWidth"}
        setting = {}
        for key, field in type(self).model_fields.items():
            value = getattr(self, key)
            if key in own or (value is None and field.default is None) or (key == "sigma" and not value):
                continue
            setting[key] = list(value) if isinstance(value, tuple) else value
        return {
            "imageType": {name: dict(own_settings) for name, own_settings in self.imageType.items()},
            "featureClass": {name: list(features) for name, features in self.featureClass.items()},
            "setting": setting,
        }


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    text = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "tuple_type":
        text = f"needs a list of numbers, such as [1, 1, 1], not {first['input']!r}"
    elif first["type"] in ("missing", "too_long"):
        where = str(first["loc"][0])
        text = "needs three numbers, along x, y and z" if where == "resampledPixelSpacing" else text
    elif text.startswith("Input should") and isinstance(first["input"], (str, int, float, type(None))):
        text = f"{text[:1].lower()}{text[1:]}, not {first['input']!r}"
    return f"{where}: {text}" if where and not text.startswith(where) else text
