"""Stand-in cohorts with the shapes of five published kinds of study, for those who have no data at hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from imrad.cohort import DeltaSettings, assemble
from imrad.content import write_atomically
from imrad.datasets.names import ZERO_RATES, deep_names, feature_names
from imrad.datasets.synthetic import Population, draw_second_reader, draw_tables
from imrad.exceptions import ConfigError
from imrad.names import FOUNDING_TARGETS
from imrad.seeds import generator

__all__ = ["STUDIES", "Size", "Study", "draw_study", "standin"]

Size = Literal["full", "small"]
Tables = dict[str, Any]


@dataclass(frozen=True)
class Study:
    """A generated study.

    Attributes
    ----------
    study : str
        Its name, a key of :data:`STUDIES`.
    tables : dict
        Cohort name (``training``, ``external``, ...) to its tables: ``radiomics``, ``clinical``, and
        where the study has them ``immune`` and ``reader_2`` (a second reader's features).
    endpoints : tuple of str
        What :func:`imrad.cohort.parse_endpoint` reads.
    aggregation : str or None
        How several rows per patient become one.
    truth : dict
        Cohort name to the planted truth; see :func:`imrad.datasets.make_cohort`.
    """

    study: str
    tables: dict[str, Tables]
    endpoints: tuple[str, ...]
    aggregation: str | None
    truth: dict[str, dict[str, pd.DataFrame]]

    def cohort(
        self, name: str = "training", *, delta: DeltaSettings | None = None, aggregation: str | None = None
    ) -> Any:
        """Assemble one of the cohorts; a second reader's features go to ``obsm["reader_2"]``.

        With `delta`, changes between two time points are features too; `aggregation` is the study's own by default.

        Raises
        ------
        ConfigError
            If the study has no such cohort.
        """
        tables = self.rows(name)
        second = tables.pop("reader_2", None)
        adata = assemble(
            **tables,
            endpoints=self.endpoints,
            aggregation=aggregation or self.aggregation,
            on_missing={"endpoint": "keep"},
            provenance={"dataset": f"stand-in for {self.study}", "cohort": name},
            delta=delta,
        )
        if second is not None:
            adata.obsm["reader_2"] = second.set_index("patient").reindex(adata.obs_names)
        adata.uns["truth"] = self.truth[name]
        return adata

    def rows(self, name: str) -> Tables:
        """Return the tables of one of the cohorts.

        Raises
        ------
        ConfigError
            If the study has no such cohort.
        """
        if name not in self.tables:
            message = f"{self.study} has no cohort {name!r}; it has {', '.join(self.tables)}"
            raise ConfigError(message)
        return dict(self.tables[name])

    def write(self, folder: str | Path) -> dict[str, dict[str, Path]]:
        """Write every cohort's tables as CSV into a folder of its name.

        Returns
        -------
        dict
            Cohort to table (``radiomics``, ``clinical``, ...) to file.
        """
        written: dict[str, dict[str, Path]] = {}
        for name, tables in self.tables.items():
            written[name] = {}
            for kind, table in tables.items():
                path = Path(folder) / name / f"{kind}.csv"
                with write_atomically(path) as temporary:
                    table.to_csv(temporary, index=table.index.name == "patient", lineterminator="\n")
                written[name][kind] = path
        return written


def standin(
    study: str,
    *,
    cohort: str = "training",
    size: Size = "full",
    seed: int = 0,
    delta: DeltaSettings | None = None,
    aggregation: str | None = None,
) -> Any:
    """Return the stand-in of a study as a cohort.

    Parameters
    ----------
    study : str
        A key of :data:`STUDIES`.
    cohort : str
        ``training``, or one of the study's external cohorts.
    size : {"full", "small"}
        ``full`` has the study's numbers of patients and features; ``small`` about half the patients and
        at most 120 features, for tests.
    seed : int
        Seed.
    delta : DeltaSettings, optional
        Changes between two time points as features.
    aggregation : str, optional
        How several rows per patient become one; else the study's own way.

    Returns
    -------
    AnnData
        See :meth:`Study.cohort`.

    Raises
    ------
    ConfigError
        If there is no such study, cohort or size.
    """
    return draw_study(study, size=size, seed=seed).cohort(cohort, delta=delta, aggregation=aggregation)


def draw_study(study: str, *, size: Size = "full", seed: int = 0) -> Study:
    """Draw the tables of a study's stand-in; see :func:`standin`.

    Raises
    ------
    ConfigError
        If there is no such study or size.
    """
    if study not in STUDIES or size not in ("full", "small"):
        message = (
            f"there is no stand-in {study!r} of size {size!r}; studies are {', '.join(STUDIES)}, sizes full, small"
        )
        raise ConfigError(message)
    return STUDIES[study](size, seed)


def _n(size: Size, patients: int) -> int:
    return patients if size == "full" else max(16, round(0.55 * patients))


def _features(size: Size, n_features: int) -> tuple[str, ...]:
    names = feature_names(n_features)
    return tuple(names if size == "full" else names[:60] + names[-60:])


def _kirc(size: Size, seed: int) -> Study:
    effect = {"cell:Mast_cells_activated": 1.2, "cell:T_cells_CD8": 1.0, "gene:PDCD1": 1.0, "TMB": 0.0}
    population = Population(
        features=_features(size, 851),
        targets=FOUNDING_TARGETS,
        image_effect={name: effect.get(name, 0.0) for name in FOUNDING_TARGETS},
        survival_effect={"cell:Mast_cells_activated": 0.8, "gene:PDCD1": 0.4},
        volume_effect=0.3,
        seed=seed,
        zero_rates=ZERO_RATES,
    )
    tables = draw_tables(population, _n(size, 113), event_rate=0.33, missing=(0.03, 0.0, 0.0), prefix="KIRC")
    truth = tables.pop("truth")
    del tables["provenance"]
    clinical = tables["clinical"]
    clinical = clinical.rename(columns={"pfi_days": "dfi_days", "pfi_event": "dfi_event"})
    # These patients were followed for years: the study calibrates at five.
    clinical[["os_days", "dfi_days"]] *= 2.0
    clinical["new_tumor_event"] = clinical["dfi_event"]
    # The TCGA knows the disease-free interval of a tenth of these patients only.
    hidden = generator(seed, "standin", "dfi").permutation(len(clinical))[max(12, len(clinical) // 9) :]
    clinical.iloc[hidden, clinical.columns.get_indexer(["dfi_days", "dfi_event"])] = np.nan
    tables["clinical"] = clinical
    return Study("ccrcc-imrad", {"training": tables}, ("os", "dfi"), None, {"training": truth})


def _ici(size: Size, seed: int) -> Study:
    population = Population(
        features=_features(size, 1037),
        targets=("gene:CD274",),
        image_effect={"gene:CD274": 1.0},
        survival_effect={},
        response_effect=1.6,
        seed=seed,
    )
    tables, truth = {}, {}
    for draw, (name, patients) in enumerate({"training": 114, "external": 52}.items()):
        drawn = draw_tables(
            population,
            _n(size, patients),
            response=True,
            draw=draw,
            shift=0.3 * draw,
            missing=(0.0, 0.0, 0.03),
            prefix="ICI",
        )
        truth[name] = drawn["truth"]
        rng = generator(seed, "standin", "ici", draw)
        clinical = drawn["clinical"].drop(columns=["response", "os_days", "os_event", "pfi_days", "pfi_event", "grade"])
        responds = clinical["best_response"].isin(["CR", "PR"]).to_numpy()
        clinical = clinical.join(_ici_variables(responds, rng, clinical.index))
        clinical = _two_readers(clinical, generator(seed, "standin", "ici", "readers", draw))
        tables[name] = {"radiomics": drawn["radiomics"], "clinical": clinical}
        if name == "training":
            second, icc = draw_second_reader(drawn["radiomics"].set_index("patient"), seed, draw)
            # The second reader drew thirty patients only.
            tables[name]["reader_2"] = second.iloc[np.sort(rng.permutation(len(second))[:30])].reset_index()
            truth[name]["features"]["icc"] = icc
    return Study("nsclc-ici-response", tables, ("response=best_response",), None, truth)


def _ici_variables(responds: np.ndarray[Any, Any], rng: np.random.Generator, patients: pd.Index) -> pd.DataFrame:
    n = len(patients)
    table = pd.DataFrame(
        {
            "histology": rng.choice(["adenocarcinoma", "squamous cell carcinoma"], n, p=[0.6, 0.4]),
            "smoker": rng.choice(["yes", "no"], n, p=[0.65, 0.35]),
            "pdl1_percent": np.round(np.clip(rng.exponential(25, n) + 10 * responds, 0, 100)),
            "max_diameter_mm": np.round(rng.normal(54, 18, n).clip(26) - 15 * responds, 1),
            "neutrophils_1e9_per_l": np.round(rng.lognormal(1.5, 0.3, n) * np.where(responds, 1.3, 1.0), 2),
            "lymphocytes_1e9_per_l": np.round(rng.lognormal(0.35, 0.3, n), 2),
            "platelets_1e9_per_l": np.round(rng.normal(245, 60, n).clip(60)),
            "cea_ng_per_ml": np.round(rng.lognormal(1.4, 1.0, n), 2),
            "pleural_sign": rng.choice([0, 1], n).astype(float),
        },
        index=patients,
    )
    table.loc[rng.random(n) < 0.06, "cea_ng_per_ml"] = np.nan
    return table


def _two_readers(clinical: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Let two readers measure the tumour and look for five signs; they differ now and then."""
    n = len(clinical)
    clinical = clinical.copy()
    truth, error = clinical.pop("max_diameter_mm"), np.round(rng.normal(0, 4.5, n), 1)
    clinical["max_diameter_mm_reader_1"] = np.maximum(np.round(truth + error, 1), 5.0)
    clinical["max_diameter_mm_reader_2"] = np.maximum(np.round(truth - error, 1), 5.0)
    for sign, share in _SIGNS.items():
        seen = rng.random(n) < share
        for reader in (1, 2):
            other = rng.random(n) < 0.04
            clinical[f"{sign}_reader_{reader}"] = np.where(seen ^ other, "yes", "no")
    clinical["white_cells_1e9_per_l"] = np.round(clinical["neutrophils_1e9_per_l"] + rng.normal(3.0, 0.5, n).clip(1), 2)
    clinical["eosinophils_1e9_per_l"] = np.round(rng.lognormal(-2.0, 0.7, n), 2)
    for name, (middle, spread) in _MARKERS.items():
        clinical[name] = np.round(rng.lognormal(np.log(middle), spread, n), 2)
    return clinical


_SIGNS = {"lobulation": 0.6, "spiculation": 0.55, "pleural_retraction": 0.6, "pleural_contact": 0.55, "cavity": 0.17}
_MARKERS = {
    "scc_ng_per_ml": (1.5, 0.9),
    "ca125_u_per_ml": (35.0, 1.0),
    "cyfra211_ng_per_ml": (6.0, 1.0),
    "nse_ng_per_ml": (20.0, 0.5),
}


def _escc(size: Size, seed: int) -> Study:
    population = Population(
        features=_features(size, 1037),
        targets=("gene:CD274",),
        image_effect={"gene:CD274": 3.0},
        survival_effect={"gene:CD274": 0.9},
        volume_effect=0.2,
        seed=seed,
    )
    drawn = draw_tables(population, _n(size, 87), event_rate=0.5, prefix="ESCC")
    truth = drawn["truth"]
    second, icc = draw_second_reader(drawn["radiomics"].set_index("patient"), seed, 0)
    truth["features"]["icc"] = icc
    clinical = _dates(drawn["clinical"], generator(seed, "standin", "escc"))
    tables = {"radiomics": drawn["radiomics"], "clinical": clinical, "reader_2": second.reset_index()}
    endpoint = "pfs=diagnosis_date,progression_date|death_date,last_contact_date"
    return Study("escc-pfs", {"training": tables}, (endpoint,), None, {"training": truth})


def _dates(clinical: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    n = len(clinical)
    start = pd.Timestamp("2019-10-01") + pd.to_timedelta(np.sort(rng.integers(0, 900, n)), unit="D")
    # A few patients were followed for some weeks only: excluding them is a choice with a bias.
    short = (clinical["pfi_event"] == 0).to_numpy() & (rng.random(n) < 0.25)
    follow_up = np.where(short, rng.integers(5, 85, n), clinical["os_days"])
    progressed = (clinical["pfi_event"] == 1) & (clinical["pfi_days"] < clinical["os_days"])
    dead = (clinical["os_event"] == 1).to_numpy() & ~short

    def text(days: Any, known: Any) -> list[str]:
        stamps = start + pd.to_timedelta(np.asarray(days, dtype=float), unit="D")
        return [stamp.strftime("%Y-%m-%d") if here else "" for stamp, here in zip(stamps, known, strict=True)]

    out = clinical.drop(columns=["os_days", "os_event", "pfi_days", "pfi_event", "grade"])
    out["diagnosis_date"] = text(np.zeros(n), np.ones(n, dtype=bool))
    out["progression_date"] = text(clinical["pfi_days"], progressed & ~short)
    out["death_date"] = text(clinical["os_days"], dead)
    out["last_contact_date"] = text(follow_up, np.ones(n, dtype=bool))
    out["tumour_length_cm"] = np.round(rng.normal(6.0, 2.0, n).clip(1.5), 1)
    out["tumour_site"] = rng.choice(["upper", "middle", "lower"], n)
    out["pdl1_cps"] = np.where(rng.random(n) < 0.3, np.nan, np.round(rng.exponential(12, n)))
    return out


def _deep(size: Size, seed: int) -> Study:
    width = 768 if size == "full" else 64
    population = Population(
        features=tuple(deep_names(width)),
        targets=("gene:CD274",),
        image_effect={"gene:CD274": 1.0},
        survival_effect={},
        response_effect=2.5,
        seed=seed,
        block_size=24 if size == "full" else 8,
    )
    tables, truth = {}, {}
    centres = {"training": 113, "centre_B": 73, "centre_C": 20, "centre_D": 19}
    for draw, (name, patients) in enumerate(centres.items()):
        drawn = draw_tables(population, _n(size, patients), response=True, draw=draw, shift=0.1 * draw, prefix="NEO")
        truth[name] = drawn["truth"]
        clinical = drawn["clinical"].drop(columns=["best_response", "os_days", "os_event", "pfi_days", "pfi_event"])
        clinical["pathology"] = clinical.pop("response").map({1.0: "pCR", 0.0: "non-pCR"}).fillna("non-pCR")
        rng = generator(seed, "standin", "deep", draw)
        clinical["smoker"] = rng.choice(["yes", "no"], len(clinical), p=[0.6, 0.4])
        clinical["site"] = name.removeprefix("centre_") if draw else "A"
        tables[name] = {"radiomics": _two_phases(drawn["radiomics"], seed, draw), "clinical": clinical}
    return Study("nsclc-deep-pcr", tables, ("pcr=pathology",), "mean", truth)


def _two_phases(vectors: pd.DataFrame, seed: int, draw: int) -> pd.DataFrame:
    values = vectors.set_index("patient")
    parts = []
    for phase, noise in (("plain", 1.0), ("contrast", 0.6)):
        error = generator(seed, "standin", "phase", phase, draw).standard_normal(values.shape)
        part = (values + noise * error * values.std().to_numpy()).reset_index()
        part.insert(1, "case", part["patient"] + "_" + phase)
        part.insert(2, "phase", phase)
        parts.append(part)
    rows: pd.DataFrame = pd.concat(parts, ignore_index=True)
    return rows.sort_values(["patient", "phase"], ignore_index=True)


def _mutation(size: Size, seed: int) -> Study:
    sequences = ("T1CE", "T2", "ADC", "DCE") if size == "full" else ("T1CE", "DCE")
    each = feature_names(107) if size == "full" else feature_names(40)
    targets = ("mut:EGFR", "mut:ERBB2", "TMB")
    names = [f"{sequence}:{name}" for sequence in sequences for name in each]
    # The ring around the tumour, as the extraction names a declared feature set; its shape tells nothing.
    names += [f"T1CE:ring:{name}" for name in each if "_shape_" not in name]
    population = Population(
        features=tuple(names),
        targets=targets,
        image_effect={"mut:EGFR": 1.5, "mut:ERBB2": 0.8, "TMB": 0.0},
        survival_effect={"mut:EGFR": -0.6},
        seed=seed,
    )
    tables, truth = {}, {}
    for draw, (name, patients, n_sites) in enumerate((("training", 150, 3), ("external", 50, 1))):
        drawn = draw_tables(
            population,
            _n(size, patients),
            event_rate=0.5,
            n_sites=n_sites,
            site_effect=0.8,
            draw=draw,
            shift=0.4 * draw,
            prefix="MUT",
        )
        truth[name] = drawn["truth"]
        immune, clinical = drawn["immune"], drawn["clinical"]
        rng = generator(seed, "standin", "mutation", draw)
        mutated = immune["mut:EGFR"].to_numpy()
        n = len(clinical)
        clinical["ctdna_vaf_percent"] = np.round(rng.exponential(1.0, n) * (1 + 2 * mutated), 3)
        clinical["ctdna_copies_per_ml"] = np.round(rng.lognormal(2.5, 1.0, n) * (1 + mutated))
        clinical["cea_ng_per_ml"] = np.where(rng.random(n) < 0.1, np.nan, np.round(rng.lognormal(1.5, 0.9, n), 2))
        clinical["ldh_u_per_l"] = np.where(rng.random(n) < 0.1, np.nan, np.round(rng.normal(220, 60, n).clip(90)))
        if n_sites == 1:
            clinical["site"] = "unseen_site"
        tables[name] = {
            "radiomics": _two_time_points(drawn["radiomics"], seed, draw),
            "clinical": clinical,
            "immune": immune,
        }
    return Study("mutation-therapy", tables, ("os", "pfi"), "region", truth)


def _two_time_points(features: pd.DataFrame, seed: int, draw: int) -> pd.DataFrame:
    values = features.set_index("patient")
    change = 0.5 * generator(seed, "standin", "delta", draw).standard_normal(values.shape) * values.std().to_numpy()
    start = pd.Timestamp("2021-03-01") + pd.to_timedelta(7 * np.arange(len(values)), unit="D")
    later = start + pd.to_timedelta(generator(seed, "standin", "interval", draw).integers(38, 50, len(values)), "D")
    parts = []
    for timepoint, table, dates in (("baseline", values, start), ("week6", values + change, later)):
        part = table.reset_index()
        part.insert(1, "case", part["patient"] + "_" + timepoint)
        part.insert(2, "timepoint", timepoint)
        part.insert(3, "date", dates.strftime("%Y-%m-%d"))
        parts.append(part)
    rows: pd.DataFrame = pd.concat(parts, ignore_index=True)
    return rows.sort_values(["patient", "timepoint"], ignore_index=True)


STUDIES: dict[str, Callable[[Size, int], Study]] = {
    "ccrcc-imrad": _kirc,
    "nsclc-ici-response": _ici,
    "escc-pfs": _escc,
    "nsclc-deep-pcr": _deep,
    "mutation-therapy": _mutation,
}
"""The studies by name: 113 x 851 x 30; 114 + 52 x 1037, two readers; 87 x 1037 with dates and two readers;
113 + 73 + 20 + 19 x 2 x 768; 150 + 50 from several sites, four sequences and a peritumoural ring at two time points."""
