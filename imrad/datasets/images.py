"""A whole generated study on disk: CT with masks, expression, mutations, clinical table and cases.csv."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter

from imrad.cohort.keys import IMMUNE
from imrad.content import write_atomically
from imrad.datasets.dicom import Phantom, write_ct_series, write_segmentation
from imrad.datasets.omics import draw_expression, draw_mutations
from imrad.exceptions import ConfigError
from imrad.seeds import generator

__all__ = ["draw_phantom", "write_images"]

FloatArray = np.ndarray[Any, np.dtype[np.float64]]


def write_images(
    cohort: Any,
    folder: str | Path,
    *,
    kinds: Sequence[Literal["dicom", "nifti"]] = ("dicom", "nifti"),
    shape: tuple[int, int, int] = (18, 40, 40),
    readers: Literal[1, 2] = 1,
    signatures: Mapping[str, Sequence[str]] | None = None,
    background_genes: Sequence[str] | int = 500,
    seed: int = 0,
) -> dict[str, Path]:
    """Write what a hospital or an archive would hand over for a cohort, with its truth planted in it.

    The tumour's size follows the cohort's volume feature, its brightness and texture the true image
    signal of the first target that has one; expression and mutations follow the targets.

    Parameters
    ----------
    cohort : AnnData or int
        What :func:`imrad.datasets.make_cohort` made, or a number of patients to draw with a strong
        image effect.
    folder : path
        Where to write.
    kinds : sequence of {"dicom", "nifti"}
        A CT series with a DICOM SEG, NIfTI image and mask, or both; cases.csv lists the first.
    shape : tuple of int
        Slices, rows, columns of the image; voxels are 2 x 2 x 3 mm.
    readers : {1, 2}
        With 2, a second reader's masks too; cases.csv then has a column ``reader``.
    signatures, background_genes
        See :func:`imrad.datasets.draw_expression`.
    seed : int
        Seed of images, expression and mutations.

    Returns
    -------
    dict of str to Path
        ``cases`` and, where both kinds are written, ``cases_nifti`` (patient, image, mask, label; paths
        relative to the file's folder), ``expression`` (genes x patients, TPM), ``mutations`` (a folder
        of MAF files), ``msi``, ``clinical``, ``immune`` (the true targets).

    Raises
    ------
    ConfigError
        If a kind is not known.
    """
    unknown = [kind for kind in kinds if kind not in ("dicom", "nifti")]
    if unknown or not kinds:
        message = f"images of kind {', '.join(unknown) or 'none'} were asked for; name dicom, nifti or both"
        raise ConfigError(message)
    if isinstance(cohort, int):
        from imrad.datasets.synthetic import make_cohort

        cohort = make_cohort(cohort, image_effect=2.0, survival_effect=0.7, seed=seed)
    folder = Path(folder)
    size, texture = _planted(cohort)
    cases: dict[str, list[dict[str, object]]] = {}
    for row, patient in enumerate(cohort.obs_names):
        phantom = draw_phantom(size[row], texture[row], shape=shape, seed=seed, name=patient)
        masks = {1: phantom.mask}
        if readers == 2:
            masks[2] = draw_phantom(size[row] + 0.15, texture[row], shape=shape, seed=seed, name=patient, reader=2).mask
        for name, case in _write_case(phantom, masks, patient, folder, kinds):
            cases.setdefault(name, []).append(case)
    written = {name: _csv(pd.DataFrame(rows), folder / f"{name}.csv") for name, rows in cases.items()}
    written["clinical"] = _csv(_clinical(cohort), folder / "clinical.csv")
    if IMMUNE in cohort.obsm:
        written |= _write_omics(cohort.obsm[IMMUNE], folder, signatures, background_genes, seed)
    return written


def draw_phantom(
    size: float,
    texture: float,
    *,
    shape: tuple[int, int, int] = (18, 40, 40),
    seed: int = 0,
    name: str = "",
    reader: int = 1,
) -> Phantom:
    """Draw a CT-like volume with one tumour.

    Parameters
    ----------
    size : float
        In standard deviations: the tumour's radius is 20 percent larger for each.
    texture : float
        In standard deviations: the tumour is 12 HU brighter and its grain coarser for each.
    shape : tuple of int
        Slices, rows, columns; voxels are 3 mm by 2 mm by 2 mm.
    reader : int
        A reader other than 1 draws the boundary a little differently on the same image.
    """
    spacing = (2.0, 2.0, 3.0)
    rng = generator(seed, "phantom", name)
    z, y, x = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in shape), indexing="ij")
    x, y, z = x * spacing[0], y * spacing[1], z * spacing[2]
    half = np.array([n * step / 2 for n, step in zip(shape[::-1], spacing, strict=True)])
    radius = np.minimum(13.0 * 1.2 ** np.clip(size, -2.5, 2.5), half - 6.0)
    axes = radius * rng.uniform(0.85, 1.1, 3).clip(max=1.0)
    centre = rng.uniform(-3, 3, 3)
    rough = gaussian_filter(rng.standard_normal(shape), 2.0)
    distance = np.sqrt(
        ((x - centre[0]) / axes[0]) ** 2 + ((y - centre[1]) / axes[1]) ** 2 + ((z - centre[2]) / axes[2]) ** 2
    )
    tumour = distance + 0.08 * rough / rough.std() < 1.0
    body = (x / (0.95 * half[0])) ** 2 + (y / (0.9 * half[1])) ** 2 < 1.0
    image = np.where(body, 30.0, -1000.0) + np.where(body, 12.0, 3.0) * rng.standard_normal(shape)
    grain = gaussian_filter(rng.standard_normal(shape), 0.6 * 1.35 ** np.clip(texture, -2.5, 2.5))
    image = np.where(tumour & body, 70.0 + 12.0 * texture + 18.0 * grain / grain.std(), image)
    mask = tumour & body
    if reader != 1:
        other = gaussian_filter(generator(seed, "reader", reader, name).standard_normal(shape), 2.0)
        mask = body & (distance + 0.08 * rough / rough.std() + 0.06 * other / other.std() < 1.02)
    origin = (float(x.min()), float(y.min()), float(z.min()))
    return Phantom(np.clip(np.round(image), -1024, 3071).astype(np.int16), mask, spacing, origin)


def _planted(cohort: Any) -> tuple[FloatArray, FloatArray]:
    n = cohort.n_obs
    volume = [number for number, name in enumerate(cohort.var_names) if name.endswith("shape_MeshVolume")]
    size = np.zeros(n)
    if volume:
        log_volume = np.log(np.clip(cohort.X[:, volume[0]], 1.0, None))
        size = np.nan_to_num((log_volume - np.nanmean(log_volume)) / (np.nanstd(log_volume) or 1.0))
    signal = cohort.uns.get("truth", {}).get("signal")
    texture = np.zeros(n)
    if signal is not None:
        for name in signal.columns:
            values = signal[name].to_numpy(dtype=float)
            if values.std() > 0:
                texture = values
                break
    return size, texture


def _write_case(
    phantom: Phantom, masks: Mapping[int, Any], patient: str, folder: Path, kinds: Sequence[str]
) -> list[tuple[str, dict[str, object]]]:
    written: list[tuple[str, dict[str, object]]] = []
    for kind in kinds:
        source: list[Any] = []
        home = Path("images") / patient
        if kind == "dicom":
            image = home / "ct"
            source = write_ct_series(phantom, patient, folder / image)
        else:
            image = home / "ct.nii.gz"
            _write_nifti(phantom.hounsfield, phantom, folder / image)
        for reader, mask in masks.items():
            name = "mask" if reader == 1 else f"mask_reader_{reader}"
            path = home / (f"{name}.dcm" if kind == "dicom" else f"{name}.nii.gz")
            if kind == "dicom":
                write_segmentation(replace(phantom, mask=mask), patient, source, folder / path)
            else:
                _write_nifti(mask.astype(np.uint8), phantom, folder / path)
            table = "cases" if kind == kinds[0] else f"cases_{kind}"
            case: dict[str, object] = {
                "patient": patient,
                "image": image.as_posix(),
                "mask": path.as_posix(),
                "label": 1,
            }
            written.append((table, case | ({"reader": reader} if len(masks) > 1 else {})))
    return written


def _write_nifti(values: Any, phantom: Phantom, path: Path) -> None:
    import SimpleITK as sitk

    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing(phantom.spacing_mm)
    image.SetOrigin(phantom.origin_mm)
    sitk.WriteImage(image, str(path), useCompression=True)


def _clinical(cohort: Any) -> pd.DataFrame:
    obs: pd.DataFrame = cohort.obs
    about_files = [name for name in obs if str(name).startswith(("radiomics_", "immune_"))]
    return obs.drop(columns=about_files).rename_axis("patient").reset_index()


def _write_omics(
    targets: pd.DataFrame,
    folder: Path,
    signatures: Mapping[str, Sequence[str]] | None,
    background: Sequence[str] | int,
    seed: int,
) -> dict[str, Path]:
    expression = draw_expression(targets, signatures=signatures, background=background, seed=seed)
    written = {
        "expression": _csv(expression.reset_index(), folder / "expression.csv"),
        "immune": _csv(targets.rename_axis("patient").reset_index(), folder / "immune_truth.csv"),
        "mutations": folder / "mutations",
    }
    for patient, maf in draw_mutations(targets, seed=seed).items():
        with write_atomically(folder / "mutations" / f"{patient}.maf") as temporary:
            temporary.write_text("#version 2.4\n" + maf.to_csv(sep="\t", index=False, lineterminator="\n"))
    if "MSI" in targets:
        known = targets["MSI"].dropna()
        msi = pd.DataFrame({"case_id": known.index, "MANTIS_Score": known.to_numpy()})
        written["msi"] = _csv(msi, folder / "msi_mantis.csv")
    return written


def _csv(table: pd.DataFrame, path: Path) -> Path:
    with write_atomically(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    return path
