"""Radiomic extraction side by side: imrad, pyradiomics (defaults and tuned), Pictologics.

One CT of 512 x 512 x 100 voxels (0.75 x 0.75 x 3 mm) with an irregular lesion of 35 ml, image in memory,
one core, warm. Each peer runs in a process of its own environment; rounds are interleaved, so that all
see the same machine. On a busy one processor seconds tell more than the clock's.
pyradiomics needs Python 3.11, Pictologics 0.9 Python 3.12:

    python benchmarks/radiomics_speed.py --pyradiomics .venv311/bin/python --pictologics .venv312/bin/python
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SPACING = (0.75, 0.75, 3.0)
PINNED = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "PICTOLOGICS_DISABLE_WARMUP": "1",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1",
}


def phantom(folder: Path, millilitres: float) -> None:
    """Write a kidney-like CT with a rough, textured lesion of the wanted volume."""
    import SimpleITK as sitk
    from scipy import ndimage

    rng = np.random.default_rng(20)
    shape = (100, 512, 512)
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    body = ((y - 256) / 170) ** 2 + ((x - 256) / 225) ** 2 < 1
    kidney = ((z - 50) / 21) ** 2 + ((y - 285) / 38) ** 2 + ((x - 148) / 44) ** 2 < 1
    image = np.where(body, np.float32(35), np.float32(-1000)) + np.zeros(shape, np.float32)
    image[kidney] = 140
    centre = (52, 296, 130)
    distance = np.sqrt(
        ((z - centre[0]) * SPACING[2]) ** 2 + ((y - centre[1]) * SPACING[1]) ** 2 + ((x - centre[2]) * SPACING[0]) ** 2
    )
    rough = ndimage.gaussian_filter(rng.standard_normal((100, 128, 128), np.float32), (3, 4, 4))
    rough = np.repeat(np.repeat(rough / rough.std(), 4, axis=1), 4, axis=2)
    low, high = 5.0, 50.0
    for _ in range(16):
        radius = (low + high) / 2
        lesion = distance < np.minimum(radius * (1 + 0.17 * rough), 2 * radius)
        labels, _ = ndimage.label(lesion)
        lesion = labels == labels[centre]
        low, high = (radius, high) if lesion.sum() * np.prod(SPACING) / 1000 < millilitres else (low, radius)
    texture = ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), (1, 4, 4))
    noise = ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), (0, 0.7, 0.7))
    image[lesion] = 90 + 36 * (texture / texture.std())[lesion]
    image = np.clip(np.rint(image + 14 * noise / noise.std()), -1024, 3071).astype(np.int16)
    np.save(folder / "image.npy", image)
    np.save(folder / "mask.npy", lesion.astype(np.uint8))
    for name, array in (("image", image), ("mask", lesion.astype(np.uint8))):
        made = sitk.GetImageFromArray(array)
        made.SetSpacing(SPACING)
        sitk.WriteImage(made, str(folder / f"{name}.nii"))
    print(f"lesion {lesion.sum() * np.prod(SPACING) / 1000:.1f} ml, {int(lesion.sum())} voxels")


def imrad_jobs(folder: Path):
    from imrad.radiomics import PreparedImage, RadiomicsSettings, extract

    image, mask = np.load(folder / "image.npy"), np.load(folder / "mask.npy")
    images = {"Original": {}, "Wavelet": {}}
    settings = {
        "native": RadiomicsSettings(imageType=images),
        "1mm": RadiomicsSettings(imageType=images, resampledPixelSpacing=(1, 1, 1)),
        "1mm LoG": RadiomicsSettings(
            imageType={**images, "LoG": {"sigma": [1.0, 3.0]}}, resampledPixelSpacing=(1, 1, 1)
        ),
    }
    jobs = {f"{name}|imrad": (lambda s=s: len(extract(image, mask, SPACING, s))) for name, s in settings.items()}

    from scipy import ndimage

    where = np.argwhere(mask)
    low, high = where.min(axis=0) - 4, where.max(axis=0) + 5
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    regions = []
    for n in range(20):
        moved = np.zeros_like(mask)
        moved[box] = np.roll(ndimage.binary_dilation(mask[box]) if n % 2 else mask[box], n % 4 - 2, axis=2)
        regions.append(moved)
    union = np.maximum.reduce(regions)

    def several():
        prepared = PreparedImage(image, SPACING, settings["native"])
        prepared.reserve(union)
        return sum(len(prepared.extract(region)) for region in regions)

    jobs["20 regions of one image|imrad"] = several
    return jobs


def pyradiomics_jobs(folder: Path):
    import logging

    import SimpleITK as sitk
    from radiomics import featureextractor

    logging.getLogger("radiomics").setLevel(logging.CRITICAL)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    image, mask = (sitk.ReadImage(str(folder / f"{name}.nii")) for name in ("image", "mask"))

    def job(log=False, **settings):
        extractor = featureextractor.RadiomicsFeatureExtractor(binWidth=25, **settings)
        extractor.enableImageTypeByName("Wavelet")
        if log:
            extractor.enableImageTypeByName("LoG", customArgs={"sigma": [1.0, 3.0]})
        extractor.enableAllFeatures()
        found = extractor.execute(image, mask)
        return sum(not name.startswith("diagnostics") for name in found)

    fine = {"resampledPixelSpacing": [1, 1, 1], "interpolator": "sitkBSpline"}
    return {
        "native|pyradiomics defaults": job,
        "native|pyradiomics tuned": lambda: job(preCrop=True, padDistance=5, additionalInfo=False),
        "1mm|pyradiomics defaults": lambda: job(**fine),
        "1mm|pyradiomics tuned": lambda: job(**fine, additionalInfo=False),
        "1mm LoG|pyradiomics defaults": lambda: job(log=True, **fine),
    }


def pictologics_jobs(folder: Path):
    from pictologics import RadiomicsPipeline, load_image

    image, mask = (load_image(str(folder / f"{name}.nii")) for name in ("image", "mask"))
    families = ["intensity", "histogram", "texture"]

    def job(spacing):
        pipeline = RadiomicsPipeline()
        resample = []
        if spacing:
            step = {"new_spacing": (spacing,) * 3, "interpolation": "cubic", "mask_interpolation": "nearest"}
            resample = [{"step": "resample", "params": step}]
        bins = {"method": "FBS", "bin_width": 25.0, "min_val": -1000.0}
        steps = [
            {"step": "discretise", "params": bins},
            {"step": "extract_features", "params": {"families": [*families, "morphology"]}},
        ]
        pipeline.add_config("original", resample + steps)
        names = ["original"]
        for band in ("LLL", "LLH", "LHL", "LHH", "HLL", "HLH", "HHL", "HHH"):
            wavelet = {"type": "wavelet", "wavelet": "coif1", "level": 1, "decomposition": band, "boundary": "periodic"}
            steps = [
                {"step": "filter", "params": wavelet},
                {"step": "discretise", "params": {"method": "FBN", "n_bins": 16}},
                {"step": "extract_features", "params": {"families": families}},
            ]
            pipeline.add_config(band, resample + steps)
            names.append(band)
        return sum(len(found) for found in pipeline.run(image=image, mask=mask, config_names=names).values())

    return {"native|Pictologics": lambda: job(None), "1mm|Pictologics": lambda: job(1.0)}


JOBS = {"imrad": imrad_jobs, "pyradiomics": pyradiomics_jobs, "pictologics": pictologics_jobs}


def work(peer: str, folder: Path) -> None:
    """Run jobs named on standard input, answering with seconds and the number of features."""
    import contextlib
    import warnings

    with warnings.catch_warnings(action="ignore"), contextlib.redirect_stdout(sys.stderr):
        jobs = JOBS[peer](folder)
        sys.__stdout__.write(json.dumps(list(jobs)) + "\n")
        sys.__stdout__.flush()
        for line in sys.stdin:
            started, processor = time.perf_counter(), time.process_time()
            features = jobs[line.strip()]()
            took = [time.perf_counter() - started, time.process_time() - processor]
            sys.__stdout__.write(json.dumps([took, features]) + "\n")
            sys.__stdout__.flush()


class Peer:
    def __init__(self, name: str, python: str, folder: Path) -> None:
        command = [python, __file__, "--worker", name, "--folder", str(folder)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **PINNED},
        )
        self.jobs = self._answer()

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            message = f"a peer ended early: {' '.join(self.process.args)}"
            raise RuntimeError(message)
        return json.loads(line)

    def run(self, job: str):
        self.process.stdin.write(job + "\n")
        self.process.stdin.flush()
        return self._answer()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--imrad", default=sys.executable, help="Python with imrad")
    parser.add_argument("--pyradiomics", help="Python with pyradiomics 3.0.1")
    parser.add_argument("--pictologics", help="Python with Pictologics 0.9")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=5, help="runs a round of the fast jobs")
    parser.add_argument("--millilitres", type=float, default=35.0)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--worker", choices=JOBS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments.worker, arguments.folder)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        phantom(folder, arguments.millilitres)
        chosen = {peer: getattr(arguments, peer) for peer in JOBS if getattr(arguments, peer)}
        peers = [Peer(peer, python, folder) for peer, python in chosen.items()]
        seconds: dict[str, list[list[float]]] = {}
        features: dict[str, int] = {}
        for peer in peers:  # warm
            for job in peer.jobs:
                if "pyradiomics" not in job:
                    peer.run(job)
        for _ in range(arguments.rounds):
            for peer in peers:
                for job in peer.jobs:
                    for _ in range(1 if "pyradiomics" in job else arguments.repeats):
                        took, features[job] = peer.run(job)
                        seconds.setdefault(job, []).append(took)
        for peer in peers:
            peer.process.stdin.close()
            peer.process.wait()
    heading = f"{'features':>9}{'min s':>9}{'median s':>10}{'CPU min':>9}{'CPU median':>12}{'CPU ratio':>11}"
    print(f"{'case':32}{'peer':24}{heading}")
    cpu = {job: statistics.median(t[1] for t in took) for job, took in seconds.items()}
    for job in sorted(seconds, key=lambda j: j.split("|")[0]):
        case, peer = job.split("|")
        wall, processor = ([t[k] for t in seconds[job]] for k in (0, 1))
        ratio = cpu[job] / cpu.get(f"{case}|imrad", float("nan"))
        print(
            f"{case:32}{peer:24}{features[job]:>9}{min(wall):>9.3f}{statistics.median(wall):>10.3f}"
            f"{min(processor):>9.3f}{cpu[job]:>12.3f}{ratio:>11.1f}"
        )
    print(f"20 regions of one image cost {cpu['20 regions of one image|imrad'] / cpu['native|imrad']:.1f} extractions")


if __name__ == "__main__":
    main()
