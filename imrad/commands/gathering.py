"""From archives, images and tables to a cohort."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from imrad.commands.options import ClusterOption, OutOption, RunOption, WorkersOption, open_run, worker_count
from imrad.commands.screen import bars, say

__all__ = ["commands"]

commands = typer.Typer()


@commands.command(epilog="Example:  imrad fetch tcga-kirc --only images,segmentations --patients 12 --dry-run")
def fetch(
    cohort: Annotated[str, typer.Argument(help="A cohort's name; 'imrad cohorts' lists them.")],
    only: Annotated[
        str | None, typer.Option(help="Kinds, comma-separated: images,segmentations,expression,...")
    ] = None,
    patients: Annotated[str | None, typer.Option(help="A number, or a file with one patient a line.")] = None,
    phase: Annotated[str, typer.Option(help="arterial, venous, delayed or best.")] = "best",
    to: Annotated[Path | None, typer.Option("--to", metavar="DIR", help="Folder; else data/COHORT.")] = None,
    manifest: Annotated[Path | None, typer.Option(help="Repeat the frozen download of a manifest.jsonl.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what, how many, how large; move nothing.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Parallel downloads.")] = 4,
) -> None:
    """Download a public cohort: images, segmentations, expression, mutations, clinical, immune; verified, resumable."""
    from imrad.stages import fetching as stage

    with bars() as progress:
        lines = stage.download(
            cohort,
            to if to is not None else Path("data") / cohort,
            only=only,
            patients=patients,
            phase=phase,
            manifest=manifest,
            dry_run=dry_run,
            workers=workers,
            progress=progress,
        )
    for line in lines:
        say(line)


@commands.command(epilog="Example:  imrad cohorts")
def cohorts() -> None:
    """List the public cohorts with the number of patients that have CT, segmentation, RNA, MAF and survival."""
    from imrad.stages import fetching as stage

    say(stage.cohorts())


@commands.command(
    epilog="Examples:  imrad extract --image ct.nii.gz --mask tumour.nii.gz -o features.csv\n\n"
    "imrad extract --cases cases.csv --settings founding-851 -o features.csv"
)
def extract(
    image: Annotated[Path | None, typer.Option(help="NIfTI, NRRD, MHA or a DICOM folder.")] = None,
    mask: Annotated[Path | None, typer.Option(help="Label image, DICOM SEG or RTSTRUCT.")] = None,
    label: Annotated[
        str | None, typer.Option(help="Label number, segment name, or an expression such as 'tumour=2|3'.")
    ] = None,
    cases: Annotated[
        Path | None, typer.Option(help="Table with the columns patient, image, mask, optional label.")
    ] = None,
    settings: Annotated[
        str | None,
        typer.Option(
            help="A pyradiomics parameter file, or ct, mri, pet, founding-851, founding-1037; else its defaults."
        ),
    ] = None,
    engine: Annotated[
        str, typer.Option(help="imrad, pyradiomics, or deep: vectors from your own network (--weights; an extra).")
    ] = "imrad",
    weights: Annotated[
        Path | None, typer.Option(help="Engine deep: checkpoint (.pth, .safetensors), TorchScript or .onnx.")
    ] = None,
    spacing: Annotated[float | None, typer.Option(min=0.01, help="Engine deep: voxels of this many mm.")] = None,
    view: Annotated[str | None, typer.Option(help="Engine deep: windows, centre or box of the region.")] = None,
    window: Annotated[
        str | None, typer.Option(help="Engine deep: voxels of the input, 48 or Z,Y,X; else the weights tell.")
    ] = None,
    heads: Annotated[int | None, typer.Option(min=1, help="Engine deep: attention heads; else width / 64.")] = None,
    phases: Annotated[str | None, typer.Option(help="Engine deep: averaged (a row a patient), or rows.")] = None,
    maps: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Engine deep: overlays of where each vector comes from.")
    ] = None,
    map_patients: Annotated[str | None, typer.Option(help="Overlays of these patients only: A,B.")] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Compare with pyradiomics on this case, per class.")
    ] = False,
    intensity: Annotated[
        str, typer.Option(help="stored, suv (PET), zscore:body or percentile:body (or :image, :region).")
    ] = "stored",
    run: RunOption = None,
    output: OutOption = None,
    workers: WorkersOption = None,
    cluster: ClusterOption = None,
) -> None:
    """Radiomic features from images and regions, with pyradiomics' names and values."""
    from imrad.exceptions import ConfigError
    from imrad.stages import encoding
    from imrad.stages import extraction as stage

    with bars() as progress:
        options: dict[str, Any] = {"workers": worker_count(workers), "cluster": cluster, "progress": progress}
        if engine == "deep":
            if cases is None:
                message = "--engine deep needs --cases with a table: patient, image, and a mask or a centre in mm"
                raise ConfigError(message)
            del options["cluster"]
            lines = encoding.files(
                cases=cases,
                weights=weights,
                settings=encoding.deep_settings(spacing, view, window, heads, phases),
                output=output if output is not None else Path("features.csv"),
                maps=maps,
                map_patients=[name for name in (map_patients or "").split(",") if name],
                **options,
            )
        elif image is None and mask is None and cases is None:
            lines = stage.extract(open_run(run), **options)
        else:
            lines = stage.files(
                image=image,
                mask=mask,
                label=label,
                cases=cases,
                settings=settings,
                engine=engine,
                compare=compare,
                intensity=intensity,
                output=output if output is not None else Path("features.csv"),
                **options,
            )
    for line in lines:
        say(line)


@commands.command(epilog="Example:  imrad score expression.tsv.gz --method estimate -o scores.csv")
def score(
    expression: Annotated[Path | None, typer.Argument(help="Genes x samples (or the other way round).")] = None,
    method: Annotated[
        list[str] | None, typer.Option("--method", help="estimate, cibersort, ssgsea, til10 ... (repeat)")
    ] = None,
    signature: Annotated[Path | None, typer.Option(help="Signature matrix, such as your own LM22 file.")] = None,
    maf: Annotated[
        list[Path] | None, typer.Option("--maf", help="MAF file or folder of them, for TMB and mut: (repeat)")
    ] = None,
    run: RunOption = None,
    output: OutOption = None,
    workers: WorkersOption = None,
) -> None:
    """Immune scores from expression and mutations, equal to the published programs."""
    from imrad.stages import scoring as stage

    with bars() as progress:
        if expression is None and not maf:
            lines = stage.score(open_run(run), workers=worker_count(workers), progress=progress)
        else:
            lines = stage.files(
                expression,
                methods=method or ["estimate"],
                signature=signature,
                maf=maf or [],
                output=output if output is not None else Path("scores.csv"),
                workers=worker_count(workers),
                progress=progress,
            )
    for line in lines:
        say(line)


@commands.command(
    epilog="Example:  imrad assemble --radiomics features.csv --immune scores.csv --clinical clinical.csv "
    "--endpoint os=os_days,os_event -o cohort.h5ad"
)
def assemble(
    radiomics: Annotated[Path | None, typer.Option(help="Features: patient, case, then one column a feature.")] = None,
    immune: Annotated[Path | None, typer.Option(help="Targets: patient, then one column a target.")] = None,
    clinical: Annotated[Path | None, typer.Option(help="Clinical table, CSV or Excel, with a column patient.")] = None,
    endpoint: Annotated[
        list[str] | None, typer.Option("--endpoint", help="NAME=TIME,EVENT, such as os=os_days,os_event (repeat)")
    ] = None,
    aggregation: Annotated[
        str | None, typer.Option(help="How several rows of a patient become one: mean, largest, first, region.")
    ] = None,
    delta: Annotated[
        str | None, typer.Option(help="Add the change between two time points of the features, as FROM,TO.")
    ] = None,
    run: RunOption = None,
    output: OutOption = None,
) -> None:
    """Join features, immune scores and clinical data into one cohort.h5ad; every loss is named."""
    from imrad.stages import assembly as stage

    if radiomics is None:
        lines = stage.assemble(open_run(run))
    else:
        lines = stage.files(
            radiomics=radiomics,
            immune=immune,
            clinical=clinical,
            endpoints=endpoint or [],
            aggregation=aggregation,
            delta=delta,
            output=output if output is not None else Path("cohort.h5ad"),
        )
    for line in lines:
        say(line)
