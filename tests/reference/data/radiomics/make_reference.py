"""Make the generated cases, and with pyradiomics 3.0.1 the values stored beside this file.

Run on Python 3.11 with the extra ``pyradiomics``: ``python make_reference.py``. It writes
``generated.json.gz``: for each case and each of its settings, pyradiomics' value of every feature (or
its error's type), in the order of the names.
"""

from __future__ import annotations

import gzip
import json
import logging
import warnings
from pathlib import Path

import numpy as np
from scipy import ndimage

HERE = Path(__file__).parent
ALL = {name: [] for name in ("shape", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")}
WAVELET_LOG = {"Original": {}, "Wavelet": {}, "LoG": {"sigma": [1.0, 3.0]}}
NATIVE = {"imageType": WAVELET_LOG, "featureClass": ALL, "setting": {"binWidth": 25}}
MILLIMETRE = {
    "imageType": WAVELET_LOG,
    "featureClass": ALL,
    "setting": {"binWidth": 25, "resampledPixelSpacing": [1, 1, 1], "interpolator": "sitkBSpline"},
}


def texture(rng, shape, smooth=1.5, mean=40.0, spread=60.0):
    values = ndimage.gaussian_filter(rng.standard_normal(shape), smooth)
    return mean + spread * values / values.std()


def blob(rng, shape, centre=None, radius=None, rough=0.35):
    centre = np.array(shape) / 2 if centre is None else np.array(centre)
    radius = np.array(shape) / 3 if radius is None else np.array(radius)
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1)
    distance = np.sqrt((((grid - centre) / radius) ** 2).sum(-1))
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), 1.5)
    return distance < 1 + rough * noise / noise.std()


def generated():
    """Return name to (image, mask, spacing) of 32 cases, in z, y, x order and mm along x, y, z."""
    cases = {}

    def add(name, image, mask, spacing):
        cases[name] = (image, mask.astype(np.uint8), spacing)

    for n, spacing in enumerate([(0.7, 0.7, 5.0), (0.93, 0.93, 2.5), (1.3, 0.8, 3.1), (2.2, 2.2, 1.1)]):
        rng = np.random.default_rng(100 + n)
        shape = (14 + n, 31 + n, 28)
        add(f"anisotropic{n}", np.rint(texture(rng, shape)).astype(np.int16), blob(rng, shape), spacing)
    for n, size in enumerate([(2, 2, 2), (2, 3, 2), (1, 2, 3), (3, 3, 3)]):
        rng = np.random.default_rng(200 + n)
        mask = np.zeros((12, 13, 14), bool)
        mask[5 : 5 + size[0], 5 : 5 + size[1], 6 : 6 + size[2]] = True
        add(f"tiny{n}", np.rint(texture(rng, mask.shape, 0.7)).astype(np.int16), mask, (0.8, 0.8, 1.5))
    for axis in range(3):
        rng = np.random.default_rng(300 + axis)
        shape = (15, 20, 22)
        mask = blob(rng, shape)
        keep = np.zeros(shape, bool)
        keep[tuple(slice(7, 8) if a == axis else slice(None) for a in range(3))] = True
        add(f"flat{'zyx'[axis]}", np.rint(texture(rng, shape)).astype(np.int16), mask & keep, (0.9, 0.9, 2.0))
    for n, corner in enumerate([(0, 0, 0), (12, 23, 25), (0, 23, 12)]):
        rng = np.random.default_rng(400 + n)
        shape = (13, 24, 26)
        mask = blob(rng, shape, centre=corner, radius=(6, 10, 9))
        add(f"border{n}", np.rint(texture(rng, shape)).astype(np.int16), mask, (0.85, 0.85, 2.4))
    rng = np.random.default_rng(450)
    shape = (9, 17, 15)
    add("whole", np.rint(texture(rng, shape)).astype(np.int16), np.ones(shape, bool), (1.2, 1.2, 3.4))
    for n in range(3):
        rng = np.random.default_rng(500 + n)
        shape = (16, 30, 32)
        mask = blob(rng, shape, (4, 8, 8), (3, 5, 5)) | blob(rng, shape, (11, 21, 22), (4, 6, 7))
        mask |= rng.random(shape) < 0.002 * n
        add(f"parts{n}", np.rint(texture(rng, shape)).astype(np.int16), mask, (0.75, 0.75, 3.0))
    rng = np.random.default_rng(600)
    shape = (12, 20, 22)
    mask = blob(rng, shape)
    add("constant", np.full(shape, 57, np.int16), mask, (0.8, 0.8, 2.2))
    image = np.rint(texture(rng, shape)).astype(np.int16)
    add(
        "constant-inside",
        np.where(ndimage.binary_dilation(mask, iterations=2), 57, image).astype(np.int16),
        mask,
        (0.8, 0.8, 2.2),
    )
    add("two-values", np.where(image > 40, 60, 30).astype(np.int16), mask, (0.8, 0.8, 2.2))
    add("constant-float", np.full(shape, 0.1, np.float64), mask, (0.8, 0.8, 2.2))
    for n, mean in enumerate([-650.0, -90.0, -1000.0]):
        rng = np.random.default_rng(700 + n)
        shape = (14, 26, 25)
        image = np.clip(texture(rng, shape, mean=mean, spread=120.0), -1024, 3071)
        add(f"negative{n}", np.rint(image).astype(np.int16), blob(rng, shape), (0.68, 0.68, 1.25))
    for name, kind, spread in [
        ("float32", np.float32, 60.0),
        ("float64", np.float64, 60.0),
        ("float-wide", np.float32, 900.0),
        ("int32", np.int32, 300.0),
        ("uint16", np.uint16, 120.0),
        ("uint8", np.uint8, 15.0),
    ]:
        rng = np.random.default_rng(800 + len(name))
        shape = (13, 25, 23)
        image = texture(rng, shape, mean=1000.0 if kind == np.uint16 else 90.0, spread=spread)
        image = np.rint(image) if np.issubdtype(kind, np.integer) else image
        add(name, image.astype(kind), blob(rng, shape), (0.77, 0.91, 1.7))
    rng = np.random.default_rng(900)
    shape = (40, 48, 50)
    add("larger", np.rint(texture(rng, shape, 1.0, 60, 45)).astype(np.int16), blob(rng, shape), (0.9, 0.9, 1.1))
    return cases


def parameters():
    """Return name to pyradiomics parameters of the settings that every case is compared under."""
    return {"native": NATIVE, "1mm": MILLIMETRE}


def oracle(image, mask, spacing, setting):
    """Return pyradiomics' features as floats, or the name of the error it raises."""
    import SimpleITK as sitk
    from radiomics import featureextractor

    logging.getLogger("radiomics").setLevel(logging.CRITICAL)
    images = [sitk.GetImageFromArray(array) for array in (image, mask)]
    for made in images:
        made.SetSpacing(spacing)
    extractor = featureextractor.RadiomicsFeatureExtractor(
        {**setting, "setting": {**setting["setting"], "additionalInfo": False}}
    )
    try:
        with warnings.catch_warnings(action="ignore"):
            found = extractor.execute(*images)
    except (ValueError, RuntimeError, IndexError) as error:
        return type(error).__name__
    return {name: float(value) for name, value in found.items()}


def main():
    out = {}
    for name, (image, mask, spacing) in generated().items():
        out[name] = {}
        for setting_name, setting in parameters().items():
            found = oracle(image, mask, spacing, setting)
            out[name][setting_name] = found if isinstance(found, str) else list(found.items())
    names = {}
    for settings in out.values():
        for key, found in settings.items():
            if not isinstance(found, str):
                settings[key] = {
                    "names": names.setdefault(",".join(k for k, _ in found), len(names)),
                    "values": [v for _, v in found],
                }
    content = {"made_with": "pyradiomics 3.0.1", "names": [k.split(",") for k in names], "cases": out}
    with gzip.GzipFile(HERE / "generated.json.gz", "wb", mtime=0) as file:
        file.write(json.dumps(content).encode())


if __name__ == "__main__":
    main()
