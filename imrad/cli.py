"""The command line: one command a stage, no science; it draws progress and words errors."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from imrad.execution import Progress
    from imrad.run import Run

__all__ = ["app", "main"]

app = typer.Typer(
    name="imrad",
    help="From public archives or a hospital's own folder to immune-radiomic phenotypes and a survival-fusion report.",
    epilog="Start with:  imrad demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # Drawing the help with rich takes longer to import than everything else the command does.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RunOption = Annotated[
    Path | None, typer.Option("--run", metavar="DIR", help="Run directory; else the newest under runs/.")
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=1, help="Processes; else one per core. Results are the same.")
]
ClusterOption = Annotated[
    str | None, typer.Option("--cluster", metavar="ADDRESS", help="An existing Dask scheduler (extra 'dask').")
]
OutOption = Annotated[Path | None, typer.Option("-o", "--output", help="Where to write.")]


def say(text: str) -> None:
    """Write a line for the user."""
    typer.echo(text)


@contextmanager
def bars() -> Iterator[Progress]:
    """Draw a bar per kind of task on a terminal; elsewhere, a line at each tenth."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TaskID,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bars

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        times = (TimeElapsedColumn(), TimeRemainingColumn())
        with Bars(*columns, *times, console=Console(stderr=True)) as drawn:
            tasks: dict[str, TaskID] = {}

            def draw(label: str, done: int, total: int) -> None:
                if label not in tasks:
                    tasks[label] = drawn.add_task(label, total=total)
                drawn.update(tasks[label], completed=done, total=total)

            yield draw
    else:
        tenths: dict[str, int] = {}

        def line(label: str, done: int, total: int) -> None:
            tenth = 10 * done // max(total, 1)
            if tenths.get(label) != tenth:
                tenths[label] = tenth
                typer.echo(f"  {label}: {done}/{total}", err=True)

        yield line


def _workers(given: int | None) -> int:
    return given if given is not None else max(1, len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1)


def _open(run: Path | None) -> Run:
    from imrad.run import Run, newest_run

    return Run.open(run if run is not None else newest_run())


def _config_run(config: str, folder: Path | None) -> Run:
    from imrad.config import load_config
    from imrad.run import Run

    loaded, base = load_config(config)
    return Run(folder if folder is not None else Path("runs") / loaded.name, loaded, base)


def _finish(run: Run) -> None:
    report = run.folder / "report.html"
    if report.exists():
        say(f"report: {report}")


@app.command(epilog="Example:  imrad demo --workers 2")
def demo(
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Run directory; else runs/tcga-blca.")] = None,
    workers: WorkersOption = None,
) -> None:
    """Run the main job on 75 real bladder-cancer patients that come with imrad."""
    from imrad import stages

    run = _config_run("tcga-blca", output)
    with bars() as progress:
        stages.run_all(run, workers=_workers(workers), progress=progress, say=say)
    _finish(run)


@app.command("run", epilog="Example:  imrad run configs/synthetic.yaml   (or by name: imrad run synthetic)")
def run_(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="A YAML file, or the name of one that comes along.")],
    run: Annotated[
        Path | None, typer.Option("--run", "-o", "--output", metavar="DIR", help="Run directory; else runs/NAME.")
    ] = None,
    workers: WorkersOption = None,
    cluster: ClusterOption = None,
) -> None:
    """Go through every stage of a config; what is done already is not done again."""
    from imrad import stages

    opened = _config_run(config, run)
    with bars() as progress:
        stages.run_all(opened, workers=_workers(workers), cluster=cluster, progress=progress, say=say)
    _finish(opened)


@app.command(epilog="Example:  imrad fetch tcga-kirc --only images,segmentations --patients 12 --dry-run")
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


@app.command(epilog="Example:  imrad cohorts")
def cohorts() -> None:
    """List the public cohorts with the number of patients that have CT, segmentation, RNA, MAF and survival."""
    from imrad.stages import fetching as stage

    say(stage.cohorts())


@app.command(
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
        options: dict[str, Any] = {"workers": _workers(workers), "cluster": cluster, "progress": progress}
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
            lines = stage.extract(_open(run), **options)
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


@app.command(epilog="Example:  imrad score expression.tsv.gz --method estimate -o scores.csv")
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
            lines = stage.score(_open(run), workers=_workers(workers), progress=progress)
        else:
            lines = stage.files(
                expression,
                methods=method or ["estimate"],
                signature=signature,
                maf=maf or [],
                output=output if output is not None else Path("scores.csv"),
                workers=_workers(workers),
                progress=progress,
            )
    for line in lines:
        say(line)


@app.command(
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
        lines = stage.assemble(_open(run))
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


@contextmanager
def _on_cohort(cohort: Path | None, output: Path | None, run: Path | None, **sections: dict[str, Any]) -> Iterator[Run]:
    """Open a run directory, or make one around a user's own cohort.h5ad; a refused question leaves no new one."""
    if cohort is None:
        yield _open(run)
        return
    import shutil

    from imrad import stages
    from imrad.exceptions import ConfigError, FeasibilityError

    folder = output if output is not None else Path("runs") / cohort.stem
    new = not folder.exists()
    try:
        yield stages.run_on(cohort, folder, sections)
    except (ConfigError, FeasibilityError):
        if new:
            shutil.rmtree(folder, ignore_errors=True)
        raise


@app.command(epilog="Example:  imrad phenotype --cohort cohort.h5ad --target TMB -o out")
def phenotype(
    target: Annotated[
        list[str] | None, typer.Option("--target", help="TMB, cell:T_cells_CD8, gene:PDCD1, ... or all (repeat)")
    ] = None,
    cohort: Annotated[Path | None, typer.Option(help="Your own cohort.h5ad.")] = None,
    protocol: Annotated[str | None, typer.Option(help="nested, or published (reported beside the honest one).")] = None,
    permutations: Annotated[int | None, typer.Option(min=0, help="Cap of permutations per target.")] = None,
    run: RunOption = None,
    output: OutOption = None,
    workers: WorkersOption = None,
    cluster: ClusterOption = None,
) -> None:
    """The grid of four selectors by eight classifiers, leak-free, with its own noise beside it."""
    from imrad.stages import phenotyping as stage

    changes = {"protocol": protocol, "permutations": permutations}
    with _on_cohort(cohort, output, run, phenotype={}) as opened, bars() as progress:
        lines = stage.phenotype(
            opened,
            target=target or None,
            changes={name: value for name, value in changes.items() if value is not None},
            workers=_workers(workers),
            cluster=cluster,
            progress=progress,
        )
    for line in lines:
        say(line)


@app.command(epilog="Example:  imrad fuse --endpoint os")
def fuse(
    endpoint: Annotated[
        list[str] | None, typer.Option("--endpoint", help="os, pfi, ... (repeat); else all of the config.")
    ] = None,
    cohort: Annotated[Path | None, typer.Option(help="Your own cohort.h5ad.")] = None,
    run: RunOption = None,
    output: OutOption = None,
    workers: WorkersOption = None,
) -> None:
    """Fuse blocks of predictors: Clinical, Volume, Rad, ImRad and their combinations, compared without optimism."""
    from imrad.stages import fusion as stage

    with _on_cohort(cohort, output, run, fuse={}) as opened, bars() as progress:
        lines = stage.fuse(opened, endpoint=endpoint or None, workers=_workers(workers), progress=progress)
    for line in lines:
        say(line)


@app.command(epilog="Example:  imrad report --run runs/tcga-blca")
def report(run: RunOption = None) -> None:
    """Draw report.html and report_data/ from the tables of a run; it fits nothing."""
    from imrad.stages import reporting as stage

    opened = _open(run)
    for line in stage.report(opened):
        say(line)
    _finish(opened)


@app.command(epilog="Example:  imrad init my_hospital")
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with images, masks and a CSV or Excel sheet.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write there instead, for folders that must stay as they are.")
    ] = None,
) -> None:
    """Look at a hospital's folder, tell who has what, and write the config and cases.csv to edit."""
    from imrad.stages import starting as stage

    for line in stage.start(folder, output):
        say(line)


@app.command(epilog="Example:  imrad export runs/tcga-blca -o model.imrad")
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run directory.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Where to write.")] = Path("model.imrad"),
) -> None:
    """Write a run's final models to one file without a patient in it, and print the digest of its content."""
    from imrad.stages import exporting as stage

    for line in stage.export(_open(run), output):
        say(line)


@app.command(
    epilog="Examples:  imrad apply model.imrad --cohort new.h5ad --digest DIGEST -o applied\n\n"
    "imrad apply model.imrad --cases cases.csv --clinical sheet.xlsx --endpoint os=OS_days,death -o applied"
)
def apply(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="What 'imrad export' wrote.")],
    cohort: Annotated[Path | None, typer.Option(help="cohort.h5ad of the other patients.")] = None,
    cases: Annotated[
        Path | None, typer.Option(help="Or their images: patient, image, mask; measured by the model's own settings.")
    ] = None,
    clinical: Annotated[Path | None, typer.Option(help="Clinical sheet beside --cases, CSV or Excel.")] = None,
    immune: Annotated[Path | None, typer.Option(help="Immune scores beside --cases, a row a patient.")] = None,
    endpoint: Annotated[
        list[str] | None, typer.Option("--endpoint", help="NAME=TIME,EVENT, where the sheet's names differ (repeat)")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option("--column", help="NAME=COLUMN, such as age_years=Alter (repeat)")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="The network's file, where the features are a network's vectors.")
    ] = None,
    digest: Annotated[str | None, typer.Option(help="What export printed; a file of other content is refused.")] = None,
    aggregate_only: Annotated[
        bool, typer.Option("--aggregate-only", help="Write no row of a patient: what may leave the hospital.")
    ] = False,
    recalibrate: Annotated[
        bool, typer.Option("--recalibrate", help="Shift the baseline hazard: expected equal observed events.")
    ] = False,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write to.")] = Path("applied"),
    workers: WorkersOption = None,
) -> None:
    """Apply an exported model to other patients: risks, strangers among them, and an external validation."""
    from imrad.exceptions import ConfigError
    from imrad.stages import applying as stage

    pairs = [text.partition("=") for text in column or ()]
    if wrong := next((name for name, sign, value in pairs if not (name and sign and value)), None):
        message = f"--column {wrong} cannot be read; write NAME=COLUMN, such as age_years=Alter"
        raise ConfigError(message)
    with bars() as progress:
        lines = stage.apply(
            model,
            cohort,
            output,
            cases=cases,
            clinical=clinical,
            immune=immune,
            endpoints=endpoint or (),
            columns={name: value for name, _, value in pairs},
            weights=weights,
            digest=digest,
            aggregate_only=aggregate_only,
            recalibrate=recalibrate,
            workers=_workers(workers),
            progress=progress,
        )
    for line in lines:
        say(line)


@app.command(epilog="Example:  imrad diff runs/first runs/second")
def diff(
    run_a: Annotated[Path, typer.Argument(metavar="RUN_A", help="Run directory: before.")],
    run_b: Annotated[Path, typer.Argument(metavar="RUN_B", help="Run directory: after.")],
) -> None:
    """Tell which setting or input changed between two runs, and which result moved by how much."""
    from imrad.stages import difference as stage

    for line in stage.diff(_open(run_a), _open(run_b)):
        say(line)


@app.command(epilog="Example:  imrad doctor")
def doctor() -> None:
    """Tell what is installed and what that enables."""
    from imrad.stages import about

    say(about.doctor())


@app.command(epilog="Example:  imrad methods --kind selector")
def methods(
    kind: Annotated[str | None, typer.Option(help="Only one kind, such as selector or metric.")] = None,
) -> None:
    """List every method with its definition and source, and the language of targets."""
    from imrad.stages import about

    say(about.methods(kind))


def _version(value: bool) -> None:
    if value:
        from imrad import __version__

        say(f"imrad {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> NoReturn:
    """Run the command line; errors that imrad foresees are one sentence and exit code 1."""
    # BLAS reads these when it is loaded: more threads would change the last bits of every result.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
        os.environ[name] = "1"
    from imrad.exceptions import ImradError

    try:
        app()
    except ImradError as error:
        typer.echo(f"imrad: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        typer.echo("imrad: stopped; the next call goes on from here", err=True)
        sys.exit(130)
    sys.exit(0)
