"""What was measured on the images: geometry, regions, failures, and sites against outcome."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from imrad.report.displays import COLOURS, Display
from imrad.report.page import Column, Number, Section, Shown, Text
from imrad.report.pictures import chosen, outlined, pictures, relevance
from imrad.report.sections.attention import add_attention
from imrad.report.sections.names import TITLES
from imrad.report.tables import RunTables

__all__ = ["section"]

LEVELS = 8


def section(tables: RunTables) -> Section:
    """Return quality, geometry and failures of the extraction, where the run has images."""
    part = Section("imaging", Text(*TITLES["imaging"]))
    quality, geometry = tables.get("extract/quality.csv"), tables.get("extract/geometry.csv")
    if quality is None and geometry is None and relevance(tables):
        part.missing(
            "No region was measured in this run: vectors and the maps below were ready-made, or a network's.",
            "本次运行未测量区域：特征向量与下方热图为现成数据，或来自神经网络。",
        )
    elif quality is None and geometry is None:
        part.missing(
            "No images in this run, only their features: add the section extract to the config to fill this part.",
            "本次运行只有特征、没有影像：在配置中加入 extract 即可填充本节。",
        )
    if quality is not None:
        part.add(_regions(quality))
        if "flags" in quality:
            # A column without a single flag is read as numbers that are missing.
            quality = quality.assign(flags=quality["flags"].fillna("").astype(str))
        flagged = quality[quality["flags"] != ""] if "flags" in quality else quality.iloc[:0]
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
        _mosaic(part, tables, quality)
    add_attention(part, tables)
    _acquisition(part, tables, measured=quality is not None or geometry is not None)
    if geometry is not None:
        _geometry(part, geometry)
    _failures(part, tables)
    _sites(part, tables)
    return part


def _regions(quality: pd.DataFrame) -> Display:
    def draw(figure: Figure, table: pd.DataFrame) -> None:
        left, right = figure.subplots(1, 2)
        volume = table["volume_ml"].astype(float)
        volume = volume[volume > 0]
        low, high = np.log10(volume.min() / 1.1), np.log10(volume.max() * 1.1)
        left.hist(volume, bins=np.logspace(low, high, 21), color=COLOURS[0])
        left.set(xlabel="region volume, ml", ylabel="cases", xscale="log")
        ticks = [tick for step in range(-3, 5) for tick in (10.0**step, 3 * 10.0**step)]
        shown = [tick for tick in ticks if 10**low <= tick <= 10**high] or [float(volume.median())]
        left.set_xticks(shown, [f"{tick:.3g}" for tick in shown])
        left.minorticks_off()
        slices = table["n_slices"].astype(float)
        step = max(1, math.ceil((slices.max() - slices.min() + 1) / 20))
        right.hist(slices, bins=np.arange(slices.min() - 0.5, slices.max() + step + 0.5, step), color=COLOURS[2])
        right.set(xlabel="slices with region")
        right.locator_params(axis="x", integer=True)

    keep = [name for name in ("volume_ml", "n_slices", "n_voxels", "n_parts", "n_bins", "on_border") if name in quality]
    median = quality["volume_ml"].astype(float).median()
    text = "Volume and extent of every region that was measured."
    return Display(
        "regions", "Regions.", text, quality[keep], draw, f"Median region volume {median:.1f} ml", height=2.6
    )


def _mosaic(part: Section, tables: RunTables, quality: pd.DataFrame) -> None:
    kept = pictures(tables)
    usable = kept and {"patient", "case", "volume_ml"} <= set(quality.columns)
    rows = chosen(quality, kept) if usable else quality.iloc[:0]
    if rows.empty:
        part.missing(
            "Mosaic of outlines on slices: the extraction kept no pictures (extract.reading.thumbnails is their side "
            "in pixels).",
            "轮廓拼图：提取阶段未保留图片（extract.reading.thumbnails 为其边长，以像素计）。",
        )
        return
    tiles = [outlined(kept[key]) for key in zip(rows["patient"].astype(str), rows["picture"], strict=True)]
    across = min(8, len(tiles))
    down = math.ceil(len(tiles) / across)

    def draw(figure: Figure, table: pd.DataFrame) -> None:
        grid = figure.subplots(down, across, squeeze=False, gridspec_kw={"hspace": 0.02, "wspace": 0.02})
        for place, axes in enumerate(grid.flat):
            axes.set_axis_off()
            if place >= len(tiles):
                continue
            axes.imshow(tiles[place], interpolation="none")
            row = table.iloc[place]
            flagged = " ⚑" if str(row.get("flags", "")) else ""
            axes.set_title(f"{int(row['number'])}: {row['volume_ml']:.3g} ml{flagged}", fontsize=6, loc="center", pad=2)

    total = len(quality)
    text = Text(
        "The largest slice of the region in {shown} of {total} cases, from the smallest to the largest region, flagged "
        "ones first chosen (⚑); the orange line is the region's outline. CT at -160 to 240 HU, else the slice's own "
        "range.",
        "{total} 个病例中 {shown} 例的区域最大层面，按体积由小到大排列，优先选取带标记者（⚑）；橙色为区域轮廓。CT "
        "窗为 -160 至 240 HU，其余按自身范围。",
        _shown_of(tables, "mosaic_counts", len(rows), total),
    )
    names = ("number", "patient", "case", "region", "reader", "volume_ml", "n_slices", "flags")
    part.add(
        Display(
            "mosaic",
            "Outlines on slices.",
            text,
            rows[[name for name in names if name in rows]],
            draw,
            f"Contact sheet of {len(rows)} of {total} regions outlined on their largest slice",
            width=max(2.0, 0.8 * across),
            height=0.1 + 0.93 * down,
        )
    )


def _shown_of(tables: RunTables, name: str, shown: int, total: int) -> dict[str, Number | str]:
    tables.register(name, pd.DataFrame([{"shown": shown, "total": total}]))
    return {key: tables.number(name, 0, key, "d") for key in ("shown", "total")}


ACQUIRED = {
    "modality": "Modality",
    "manufacturer": "Vendor",
    "scanner_model": "Scanner",
    "convolution_kernel": "Kernel",
    "contrast_phase": "Phase",
    "contrast_agent": "Contrast agent",
    "kvp": "Tube voltage, kV",
    "slice_thickness_mm": "Slice thickness, mm",
}


def _acquisition(part: Section, tables: RunTables, *, measured: bool) -> None:
    """Count vendors, scanners, kernels and phases; a header that is silent counts as not stated."""
    table = tables.get("extract/imaging.csv")
    rows = []
    if table is not None:
        for name, heading in ACQUIRED.items():
            if name not in table:
                continue
            stated = table[name].map(lambda item: "" if pd.isna(item) else _level(item))
            if (stated == "").all():
                continue
            counts = stated.replace("", "not stated").value_counts()
            order = sorted(counts.index, key=lambda level: (level == "not stated", -counts[level], level))
            most = order[:LEVELS]
            rows += [(heading, level, int(counts[level]), counts[level] / len(table)) for level in most]
            rest = int(counts[order[LEVELS:]].sum())
            rows += [(heading, f"{len(order) - LEVELS} others", rest, rest / len(table))] if rest else []
    if not rows:
        if measured:
            part.missing(
                "Vendor, kernel, phase: the images are not DICOM, or their headers do not say.",
                "厂商、重建核与期相：影像不是 DICOM，或其头信息未注明。",
            )
        return
    frame = pd.DataFrame(rows, columns=["what", "level", "cases", "share"])
    columns = {"what": Column("What"), "level": Column("As the header says"), "cases": Column("Cases", "d")}
    columns |= {"share": Column("Share", "share")}
    text = "From the DICOM headers. Texture follows kernel, slice thickness and contrast phase as well as tissue."
    part.add(Shown("acquisition", "Vendor, kernel and phase.", frame, columns, text))


def _level(item: object) -> str:
    return f"{item:g}" if isinstance(item, int | float) else str(item)


def _geometry(part: Section, geometry: pd.DataFrame) -> None:
    part.add(_spacing(geometry))
    counts = geometry.groupby("method", sort=False).size().rename("cases").reset_index()
    columns = {"method": Column("How mask and image were brought together"), "cases": Column("Cases", "d")}
    if "shift_mm" in geometry:
        largest = geometry.groupby("method", sort=False)["shift_mm"].max().rename("largest_shift_mm").reset_index()
        counts = counts.merge(largest, on="method")
        columns["largest_shift_mm"] = Column("Largest shift, mm", ".2f")
    part.add(Shown("geometry_methods", "Geometry.", counts, columns))


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
    shown = table.assign(endpoint=table["endpoint"].astype(str).str.upper())
    part.add(Shown("site_outcome", "Site and scanner against outcome.", shown, columns, text))
