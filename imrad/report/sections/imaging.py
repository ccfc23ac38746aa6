"""What was measured on the images: geometry, regions, failures, and sites against outcome."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from imrad.report.displays import COLOURS, Display
from imrad.report.page import Column, Section, Shown, Text
from imrad.report.sections.names import TITLES
from imrad.report.tables import RunTables

__all__ = ["section"]


def section(tables: RunTables) -> Section:
    """Return quality, geometry and failures of the extraction, where the run has images."""
    part = Section("imaging", Text(*TITLES["imaging"]))
    quality, geometry = tables.get("extract/quality.csv"), tables.get("extract/geometry.csv")
    if quality is None and geometry is None:
        part.missing(
            "No images in this run, only their features: add the section extract to the config to fill this part.",
            "本次运行只有特征、没有影像：在配置中加入 extract 即可填充本节。",
        )
    if quality is not None:
        part.add(_regions(quality))
        flagged = quality[quality["flags"].astype(str).str.len() > 0] if "flags" in quality else quality.iloc[:0]
        if len(flagged):
            columns = {
                "patient": Column("Patient"),
                "volume_ml": Column("Volume, ml", ".1f"),
                "n_slices": Column("Slices", "d"),
            }
            columns |= {"n_bins": Column("Grey levels", "d")} if "n_bins" in flagged else {}
            columns |= {"flags": Column("Flags")}
            part.add(
                Shown("quality_flags", "Regions with flags.", flagged.reset_index(drop=True), columns, collapsed=True)
            )
    if quality is not None or geometry is not None:
        part.missing(
            "Mosaic of outlines on slices: the extraction keeps no pictures. Kernel, phase, vendor: need DICOM "
            "headers.",
            "轮廓拼图：提取阶段不保留图片；重建核、期相与厂商需要 DICOM 头信息。",
        )
    if geometry is not None:
        part.add(_spacing(geometry))
        counts = geometry.groupby("method", sort=False).size().rename("cases").reset_index()
        columns = {"method": Column("How mask and image were brought together"), "cases": Column("Cases", "d")}
        part.add(Shown("geometry_methods", "Geometry.", counts, columns))
    _failures(part, tables)
    _sites(part, tables)
    return part


def _regions(quality: pd.DataFrame) -> Display:
    def draw(figure: Figure, table: pd.DataFrame) -> None:
        left, right = figure.subplots(1, 2)
        volume = table["volume_ml"].astype(float)
        left.hist(np.log10(volume[volume > 0]), bins=20, color=COLOURS[0])
        left.set(xlabel="log10 of region volume, ml", ylabel="cases")
        right.hist(table["n_slices"].astype(float), bins=20, color=COLOURS[2])
        right.set(xlabel="slices with region")

    keep = [name for name in ("volume_ml", "n_slices", "n_voxels", "n_parts", "n_bins", "on_border") if name in quality]
    median = quality["volume_ml"].astype(float).median()
    text = "Volume and extent of every region that was measured."
    return Display(
        "regions", "Regions.", text, quality[keep], draw, f"Median region volume {median:.1f} ml", height=2.6
    )


def _spacing(geometry: pd.DataFrame) -> Display:
    def draw(figure: Figure, table: pd.DataFrame) -> None:
        axes = figure.subplots()
        axes.scatter(table["spacing_x_mm"], table["spacing_z_mm"], s=14, color=COLOURS[0], alpha=0.5, lw=0)
        axes.set(xlabel="in-plane spacing, mm", ylabel="slice spacing, mm", xlim=(0, None), ylim=(0, None))

    keep = [name for name in ("method", "spacing_x_mm", "spacing_y_mm", "spacing_z_mm", "shift_mm") if name in geometry]
    middle = geometry["spacing_z_mm"].astype(float).median()
    return Display(
        "spacing",
        "Voxel spacing.",
        "One point a case; texture changes with spacing.",
        geometry[keep],
        draw,
        f"Median slice spacing {middle:.2f} mm",
        height=2.8,
    )


def _failures(part: Section, tables: RunTables) -> None:
    failures = tables.get("extract/failures.csv")
    if failures is not None:
        columns = {"patient": Column("Patient"), "error": Column("Error"), "reason": Column("Reason")}
        kept = {name: column for name, column in columns.items() if name in failures}
        part.add(Shown("failures", "Cases that could not be measured.", failures, kept))
    elif tables.get("extract/quality.csv") is not None:
        part.say("Every case was measured.", "所有病例均已测量。")


def _sites(part: Section, tables: RunTables) -> None:
    table = tables.get("cohort/site_outcome.csv")
    if table is None:
        part.missing(
            "Site and scanner against outcome: needs a column such as site or scanner with two levels "
            "of five patients.",
            "中心、设备与结局：需要含两个以上水平（各至少五例）的 site 或 scanner 列。",
        )
        return
    columns = {
        "variable": Column("Variable"),
        "level": Column("Level"),
        "endpoint": Column("Endpoint"),
        "n": Column("n", "d"),
        "events": Column("Events", "d"),
        "log_rank_p": Column("p, log-rank over levels", "p"),
    }
    text = "Levels with five patients and more. Where outcome differs between sites, a model may learn the site."
    part.add(Shown("site_outcome", "Site and scanner against outcome.", table, columns, text))
