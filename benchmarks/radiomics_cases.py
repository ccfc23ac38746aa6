"""Radiomics from files: scaling over workers, memory, a DICOM folder against pyradiomics, and perturbations.

    OMP_NUM_THREADS=1 python benchmarks/radiomics_cases.py --cases 200

Everything runs on a generated CT of 512 x 512 x 100 voxels (0.75 x 0.75 x 3 mm) with a lesion of about 35 ml, and on
200 small cases for scaling. Only ratios within one run mean anything.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import SimpleITK as sitk

from imrad.config import config_folder
from imrad.datasets.dicom import Phantom, write_ct_series, write_segmentation
from imrad.radiomics import RadiomicsSettings, ReadingSettings, extract_cases, extract_image, extract_one


def draw(shape: tuple[int, int, int], spacing: tuple[float, float, float], radius_mm: float, seed: int) -> Phantom:
    """Draw a body with a rough lesion."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    centre = np.array(shape) / 2
    far = np.sqrt(
        ((z - centre[0]) * spacing[2]) ** 2 + ((y - centre[1]) * spacing[1]) ** 2 + ((x - centre[2]) * spacing[0]) ** 2
    )
    rough = gaussian_filter(rng.standard_normal(shape).astype(np.float32), (1, 6, 6))
    mask = far < radius_mm * (1 + 0.15 * rough / rough.std())
    texture = gaussian_filter(rng.standard_normal(shape).astype(np.float32), (0.5, 1, 1))
    body = ((y - centre[1]) / (0.4 * shape[1])) ** 2 + ((x - centre[2]) / (0.45 * shape[2])) ** 2 < 1
    values = np.where(body, 40 + 60 * mask + 120 * texture, -1000 + 20 * texture)
    return Phantom(np.rint(values).astype(np.int16), mask, spacing, (0.0, 0.0, 0.0))


def best(calls: dict[str, Any], rounds: int) -> dict[str, float]:
    """Return the best processor time of each call, in seconds, over interleaved rounds.

    On one thread this is the time on an idle core, also where others use the machine.
    """
    times = dict.fromkeys(calls, np.inf)
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.process_time()
            call()
            times[name] = min(times[name], time.process_time() - start)
    return times


def from_dicom(folder: Path, settings: RadiomicsSettings, rounds: int) -> None:
    """Compare one DICOM folder, end to end, with what pyradiomics' users do, and perturbations with one extraction."""
    phantom = draw((100, 512, 512), (0.75, 0.75, 3.0), 20.0, 0)
    source = write_ct_series(phantom, "P", folder / "ct")
    write_segmentation(phantom, "P", source, folder / "seg.dcm")
    mask = sitk.GetImageFromArray(phantom.mask.astype(np.uint8))
    mask.SetSpacing(phantom.spacing_mm)
    sitk.WriteImage(mask, str(folder / "mask.nii.gz"))
    volume_ml = phantom.mask.sum() * np.prod(phantom.spacing_mm) / 1000
    print(f"lesion: {phantom.mask.sum()} voxels, {volume_ml:.0f} ml; {len(source)} slices")
    case = pd.DataFrame([{"patient": "P", "image": str(folder / "ct"), "mask": str(folder / "seg.dcm")}])
    image = extract_inputs(folder)
    calls = {
        "imrad, arrays in memory": lambda: extract_image(*image, settings),
        "imrad, DICOM + SEG": lambda: extract_one(folder / "ct", folder / "seg.dcm", settings),
        "imrad, DICOM + nii.gz mask": lambda: extract_one(folder / "ct", folder / "mask.nii.gz", settings),
        "imrad, DICOM + SEG, 20 perturbations": lambda: extract_cases(
            case, settings, reading=ReadingSettings(perturbations=20)
        ),
    }
    for call in calls.values():
        call()
    times = best(calls, rounds)
    reference = pyradiomics(folder, settings)
    if reference:
        times["pyradiomics, DICOM + nii.gz mask"] = best({"": reference}, max(1, rounds // 3))[""]
    for name, seconds in times.items():
        print(f"{name:<40}{seconds:9.3f} s")
    one = times["imrad, DICOM + SEG"]
    twenty = times["imrad, DICOM + SEG, 20 perturbations"] - one
    print(f"20 perturbations cost {twenty / one:.1f} extractions of the same files (wanted: below 6)")
    print(f"  and {twenty / times['imrad, arrays in memory']:.1f} extractions of arrays that are in memory")
    if reference:
        ratio = times["pyradiomics, DICOM + nii.gz mask"] / times["imrad, DICOM + nii.gz mask"]
        print(f"from a DICOM folder imrad is {ratio:.0f} times faster than pyradiomics (wanted: at least 20)")


def extract_inputs(folder: Path) -> tuple[sitk.Image, sitk.Image]:
    """Return image and mask as SimpleITK reads them."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder / "ct")))
    image = reader.Execute()
    mask = sitk.ReadImage(str(folder / "mask.nii.gz"))
    mask.CopyInformation(image)
    return image, mask


def pyradiomics(folder: Path, settings: RadiomicsSettings) -> Any:
    """Return a call that reads and extracts with pyradiomics' defaults, or None where it is not installed."""
    try:
        import logging

        from radiomics import featureextractor
    except ImportError:
        print("pyradiomics is not installed: left out")
        return None
    logging.getLogger("radiomics").setLevel(logging.CRITICAL)
    extractor = featureextractor.RadiomicsFeatureExtractor(settings.to_parameters())
    return lambda: extractor.execute(*extract_inputs(folder))


SCALING = """
import resource, sys, time
from imrad.radiomics import ReadingSettings, RadiomicsSettings, extract_cases
settings = RadiomicsSettings.from_yaml(sys.argv[2])
extract_cases(sys.argv[1], settings, workers=int(sys.argv[3]))  # compiles, and starts the workers
start, cpu = time.perf_counter(), time.process_time()
found = extract_cases(sys.argv[1], settings, workers=int(sys.argv[3]))
seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
worker = own
if int(sys.argv[3]) > 1:
    from joblib.externals.loky import get_reusable_executor
    get_reusable_executor().shutdown(wait=True)
    worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(seconds, worker / 1024, len(found.features), found.digest, cpu)
"""


def scaling(folder: Path, n_cases: int, rounds: int, settings_file: Path) -> None:
    """Compare two workers with one, on many cases of ordinary size."""
    rows = [(f"P{number}", f"ct{number % 8}", f"seg{number % 8}.dcm") for number in range(n_cases)]
    for number in range(8):
        phantom = draw((60, 256, 256), (1.0, 1.0, 3.0), 18.0 + number, number)
        source = write_ct_series(phantom, f"P{number}", folder / f"ct{number}")
        write_segmentation(phantom, f"P{number}", source, folder / f"seg{number}.dcm")
    pd.DataFrame(rows, columns=["patient", "image", "mask"]).to_csv(folder / "cases.csv", index=False)
    found: dict[int, list[tuple[float, float, float]]] = {1: [], 2: []}
    digests = set()
    for _ in range(rounds):
        for workers, kept in found.items():
            call = [sys.executable, "-c", SCALING, str(folder / "cases.csv"), str(settings_file), str(workers)]
            out = subprocess.run(call, check=True, capture_output=True, text=True).stdout.split()
            kept.append((float(out[0]), float(out[1]), float(out[4])))
            digests.add(out[3])
            print(f"  {workers} worker(s): {out[2]} cases in {float(out[0]):.1f} s, {float(out[1]):.0f} MB a worker")
    one, two = (min(seconds for seconds, _, _ in found[workers]) for workers in (1, 2))
    memory = max(mb for kept in found.values() for _, mb, _ in kept)
    work, parent = (min(cpu for _, _, cpu in found[workers]) for workers in (1, 2))
    print(f"2 workers are {one / two:.2f} times as fast as 1 (wanted: at least 1.8), on {os.cpu_count()} cores")
    print(f"one worker takes {work:.1f} s of processor time; with two the parent takes {parent:.1f} s of its own")
    print(f"largest worker {memory:.0f} MB (wanted: below 1000); digests equal: {len(digests) == 1}")


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=200, help="cases for scaling; 0 leaves it out")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--settings", type=Path, default=config_folder() / "radiomics" / "founding-851.yaml")
    options = parser.parse_args()
    settings = RadiomicsSettings.from_yaml(options.settings)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.cases:  # first: a child's peak memory starts at its parent's
            scaling(folder, options.cases, options.rounds, options.settings)
        from_dicom(folder, settings, options.rounds)
    print(f"this process peaked at {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
