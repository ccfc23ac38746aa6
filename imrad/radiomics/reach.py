"""How far around a region its features look, and so how much of an image must be there."""

from __future__ import annotations

import numpy as np

from imrad.radiomics.settings import RadiomicsSettings

__all__ = ["local_reach", "perturbed_pad"]

# The recursive Gaussian decays by about e^-1.3 per sigma: beyond this many, 2e-6 of what lies there is felt.
LOG_SIGMAS = 10.0
# Radius of the millilitre that IBSI's local intensity peak is the mean of.
PEAK_MM = 6.2
# The whole image, whatever its size.
ALL = 100_000


def local_reach(settings: RadiomicsSettings) -> int | None:
    """Return how many voxels around the region its features can depend on; None if on all of them."""
    local = set(settings.imageType) <= {"Original", "Wavelet"}
    if not local or settings.normalize or settings.removeOutliers is not None or settings.mode != "pyradiomics":
        return None
    return _wavelet_reach(settings) if "Wavelet" in settings.imageType else 1


def _wavelet_reach(settings: RadiomicsSettings) -> int:
    import pywt

    own = settings.for_image("Wavelet")
    return int(pywt.Wavelet(own.wavelet).dec_len // 2 * 2 ** (own.start_level + own.level - 1)) + 1


def perturbed_pad(settings: RadiomicsSettings, spacing_mm: tuple[float, float, float]) -> tuple[int, int, int]:
    """Return how many voxels along z, y, x a perturbed image keeps around its region.

    Parameters
    ----------
    settings : RadiomicsSettings
    spacing_mm : tuple of float
        Along x, y, z, of the perturbed image.

    Notes
    -----
    As many as the settings themselves keep where they crop; else as many as the features can depend
    on, and for filters that never end as many as are felt. Filters that are scaled by the largest
    intensity need the whole image. Normalisation comes before.
    """
    if settings.mode == "ibsi":
        z, y, x = (int(np.ceil(PEAK_MM / step)) + 1 for step in spacing_mm[::-1])
        return z, y, x
    cropped = settings.preCrop or (settings.resampledPixelSpacing is not None and settings.interpolator is not None)
    pad = [settings.padDistance if cropped else 1] * 3
    for name in settings.imageType:
        own = settings.for_image(name)
        if name == "LoG" and (not cropped or settings.logSupport == "full"):
            widest = LOG_SIGMAS * max(own.sigma)
            pad = [max(n, int(np.ceil(widest / step))) for n, step in zip(pad, spacing_mm[::-1], strict=True)]
        elif cropped or name in ("Original", "LoG"):
            continue
        elif name == "Wavelet":
            pad = [max(n, _wavelet_reach(settings)) for n in pad]
        elif name == "Gradient":
            pad = [max(n, 2) for n in pad]
        elif name == "LBP2D":
            pad = [max(n, int(np.ceil(own.lbp2DRadius)) + 1) for n in pad]
        elif name == "LBP3D":
            # Sampled with a cubic spline, whose pole is 0.268.
            pad = [max(n, int(np.ceil(own.lbp3DIcosphereRadius)) + 12) for n in pad]
        else:
            pad = [ALL] * 3
    return pad[0], pad[1], pad[2]
