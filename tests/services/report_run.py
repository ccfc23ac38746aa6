"""A run directory as the stages would have written it, with drawn tables: nothing is fitted."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd

from imrad import content
from imrad.config import Config
from imrad.run import Run

MODELS = ("Clinical", "Volume", "Rad", "ImRad", "Clinical+Immune", "Clinical+ImRad")
SELECTORS = ("information_gain", "gain_ratio", "gini_decrease", "fcbf")
CLASSIFIERS = ("random_forest", "gradient_boosting", "logistic_regression", "svm", "naive_bayes", "knn", "stacking")


def empty_run(folder: Path, **stages: dict) -> Run:
    """Return a run that has written nothing but run.json."""
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(folder, Config(name="drawn", title="A drawn run", seed=11))
    for name, settings in stages.items():
        run.record["stages"][name] = {
            "status": "done",
            "reason": "",
            "settings": settings,
            "outputs": {},
            "inputs": {},
            "key": name,
        }
    run.save()
    return run


def write(run: Run, path: str, table: pd.DataFrame) -> None:
    """Write a table where a stage would."""
    target = run.folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(target, index=False)


def drawn_run(
    folder: Path,
    *,
    n: int = 60,
    targets: list[str] | int = 3,
    endpoints: tuple[str, ...] = ("os",),
    claimed: tuple[str, ...] = (),
    features: list[str] | int = 30,
    patients: list[str] | None = None,
    site: str = "north",
    reason: str = "mask is empty",
    vendor: str = "Maker",
    models: tuple[str, ...] = MODELS,
    images: bool = True,
    immune: bool = True,
) -> Run:
    """Return a run with every table of a real one.

    Parameters
    ----------
    folder : Path
    n : int
        Patients.
    targets, features : list of str, or int
        Their names, or how many.
    endpoints, claimed, models : tuple of str
    patients : list of str, optional
    site, reason, vendor : str
        A label of the clinical table; the reason of a failure; what the images' headers say.
    images, immune : bool
        Whether the stages extract, and score and phenotype, ran.
    """
    rng = np.random.default_rng(4)
    patients = patients or [f"HOSP-{1000 + k}" for k in range(n)]
    n = len(patients)
    names = [f"cell:T_{k}" for k in range(targets)] if isinstance(targets, int) else targets
    feats = [f"original_glcm_F{k}" for k in range(features)] if isinstance(features, int) else features
    stages: dict[str, dict] = {"assemble": {"synthetic": {"n_patients": n}}}
    if images:
        stages["extract"] = {"engine": "imrad", "radiomics": {"binWidth": 25.0}}
    if immune:
        stages |= {"score": {"methods": ["estimate"]}, "phenotype": {"selectors": list(SELECTORS), "cut": "median"}}
    stages |= {f"fuse-{endpoint}": {"n_bootstrap": 5} for endpoint in endpoints}
    run = empty_run(folder, **stages)
    outer = rng.integers(0, 5, n)
    write(
        run, "splits.csv", pd.DataFrame({"patient": patients, "repeat": 0, "outer": outer, "inner_0": 0, "inner_1": 1})
    )
    lost = pd.DataFrame(
        [
            ("radiomics cases", n + 2, n + 1, f"{patients[0]} has another case", "cases"),
            ("immune table", n + 1, n, "no row in the immune table: ZZ-LOST-77", "patients"),
        ],
        columns=["step", "n_in", "n_out", "reason", "unit"],
    )
    write(run, "attrition.csv", lost)
    _cohort(run, rng, n, names if immune else [], feats, endpoints, site)
    if images:
        _images(run, rng, patients, reason, vendor)
    if immune:
        _phenotypes(run, rng, patients, names, feats, claimed)
    for endpoint in endpoints:
        _survival(run, rng, endpoint, patients, feats, models)
    fits = [(f"phenotype:r0/o{k % 5}", "phenotype", "cut", f"r0/o{k % 5}", 40, "d") for k in range(20)]
    write(run, "ledger.csv", pd.DataFrame(fits, columns=["fit", "stage", "step", "fold", "n_seen", "digest"]))
    return run


def _cohort(run, rng, n, names, feats, endpoints, site):
    groups = ("all", f"site {site}", "site south")
    rows = [("patients", "", group, n, math.nan, str(n)) for group in groups]
    rows += [("age_years", "", group, n, math.nan, "61 (50 to 70)") for group in groups]
    rows += [("sex", "female", group, n // 2, 0.5, f"{n // 2} (50 %)") for group in groups]
    columns = ["variable", "level", "group", "n", "share", "summary"]
    write(run, "cohort/table1.csv", pd.DataFrame(rows, columns=columns))
    follow = {"n": n, "events": n // 2, "follow_up_days": 900.5, "follow_up_low": 700.0, "follow_up_high": math.nan}
    follow |= {"latest_days": 2000.0, "median_days": 1000.0, "median_low": 800.0, "median_high": math.nan}
    if endpoints:
        write(run, "cohort/follow_up.csv", pd.DataFrame([{"endpoint": name, **follow} for name in endpoints]))
        curves = [_curve(rng, n).assign(endpoint=name) for name in endpoints]
        write(run, "cohort/follow_up_curve.csv", pd.concat(curves))
        rows = [("site", level, name, n // 2, n // 4, 1.2, 0.3) for name in endpoints for level in (site, "south")]
        columns = ["variable", "level", "endpoint", "n", "events", "log_rank_chi2", "log_rank_p"]
        write(run, "cohort/site_outcome.csv", pd.DataFrame(rows, columns=columns))
    missing = pd.DataFrame([("clinical", "grade", 4, 4 / n)], columns=["table", "column", "missing", "share"])
    write(run, "cohort/missingness.csv", missing)
    table = pd.DataFrame({"feature": feats, "feature_class": "glcm", "image_filter": "original"})
    table["robustness"] = rng.uniform(0.3, 1, len(feats))
    table = table.assign(missing=0, distinct=n, spearman_volume=rng.uniform(-1, 1, len(feats)), volume="volume")
    write(run, "cohort/features.csv", table)
    if names:
        rows = [(name, n, 0, 0.0, 0.1, 0.2, 0.3, 1.0, 0.05, n) for name in names]
        columns = ["target", "n", "missing", "min", "q25", "median", "q75", "max", "share_zero", "distinct"]
        write(run, "cohort/targets.csv", pd.DataFrame(rows, columns=columns))
        bars = [(name, k / 12, (k + 1) / 12, int(rng.integers(0, 20))) for name in names for k in range(12)]
        write(run, "cohort/target_histogram.csv", pd.DataFrame(bars, columns=["target", "low", "high", "count"]))


def _images(run, rng, patients, reason, vendor):
    n = len(patients)
    geometry = pd.DataFrame({"patient": patients, "case": patients, "method": "same lattice", "shift_mm": 0.0})
    geometry = geometry.assign(spacing_x_mm=0.8, spacing_y_mm=0.8, spacing_z_mm=rng.uniform(1, 5, n))
    write(run, "extract/geometry.csv", geometry)
    quality = pd.DataFrame({"patient": patients, "case": patients, "volume_ml": rng.lognormal(3, 1, n), "n_slices": 12})
    write(run, "extract/quality.csv", quality.assign(n_voxels=900, n_bins=30, flags=""))
    failure = {"patient": "HOSP-FAILED", "case": "HOSP-FAILED", "error": "RegionError", "reason": reason}
    write(run, "extract/failures.csv", pd.DataFrame([failure]))
    imaging = pd.DataFrame({"patient": patients, "case": patients, "modality": "CT", "manufacturer": vendor})
    imaging = imaging.assign(convolution_kernel=[("B30f", "")[k % 2] for k in range(n)], kvp=120.0)
    write(run, "extract/imaging.csv", imaging)
    side = np.arange(48)
    far = np.hypot(side[:, None] - 24, side[None] - 24)
    pictures = [
        [p, p, (120 + 40 * np.cos(far / 3 + k)).astype(np.uint8), (abs(far - 8 - k % 9) < 1).astype(np.uint8)]
        for k, p in enumerate(patients)
    ]
    content.save(run.folder / "extract/thumbnails.zip", pictures)


def _phenotypes(run, rng, patients, names, feats, claimed):
    cells = [(s, c) for s in SELECTORS for c in CLASSIFIERS]
    grid, summary, stability, predictions, controls, published = [], [], [], [], [], []
    n = len(patients)
    for name in names:
        good = name in claimed
        for selector, classifier in cells:
            auc = rng.uniform(0.8, 0.95) if good else rng.uniform(0.35, 0.65)
            grid.append((name, selector, classifier, n, n // 2, auc, auc - 0.1, min(auc + 0.1, 1)))
            published.append((name, selector, classifier, auc + 0.05, auc, 0.05))
        row = {
            "target": name,
            "status": "claimed" if good else "not_claimed",
            "reason": "q",
            "n": n,
            "n_positive": n // 2,
        }
        row |= {"auc": 0.9123 if good else 0.4876, "auc_low": 0.8 if good else 0.3, "auc_high": 0.97 if good else 0.7}
        row |= {"p_permutation": 0.001 if good else 0.4, "q_fdr": 0.01234 if good else 0.7, "spearman": 0.1}
        summary.append(row | {"auc_best_cell": 0.7, "null_median": 0.58, "null_q95": 0.68, "permutations": 100})
        stability += [(name, s, f, 3, 5, 0.6, 0.5) for s in SELECTORS for f in feats[:6]]
        predictions += [(p, name, 0, k % 5, rng.uniform(), k % 2, rng.normal()) for k, p in enumerate(patients)]
        controls += [(name, c, "lr", n, 0.5, 0.4, 0.6) for c in ("volume", "clinical", "shuffled_features")]
    base = ["target", "selector", "classifier"]
    write(
        run, "phenotype/grid.csv", pd.DataFrame(grid, columns=[*base, "n", "n_positive", "auc", "auc_low", "auc_high"])
    )
    write(run, "phenotype/summary.csv", pd.DataFrame(summary))
    columns = ["target", "selector", "feature", "n_selected", "n_folds", "frequency", "stability"]
    write(run, "phenotype/stability.csv", pd.DataFrame(stability, columns=columns))
    columns = ["patient", "target", "repeat", "fold", "probability", "observed", "value"]
    write(run, "phenotype/predictions.csv", pd.DataFrame(predictions, columns=columns))
    columns = ["target", "control", "model", "n", "auc", "auc_low", "auc_high"]
    write(run, "phenotype/controls.csv", pd.DataFrame(controls, columns=columns))
    write(run, "phenotype/published.csv", pd.DataFrame(published, columns=[*base, "auc", "auc_honest", "optimism"]))
    feasibility = pd.DataFrame({"target": names, "feasible": True, "n": n, "n_positive": n // 2, "n_negative": n // 2})
    feasibility = feasibility.assign(zeros=0.0, min_train_class=20, auc_half_width=0.1, n_needed=100, reason="")
    write(run, "phenotype/feasibility.csv", feasibility)
    rows = [("selector", s, name, 0.5, 0.0) for name in names for s in SELECTORS]
    write(run, "phenotype/ablation.csv", pd.DataFrame(rows, columns=["part", "name", "target", "auc", "difference"]))


def _curve(rng, n):
    time = np.sort(rng.integers(20, 2000, n)).astype(float)
    survival = np.linspace(1, 0.3, n)
    return pd.DataFrame(
        {
            "time": time,
            "n_risk": np.arange(n, 0, -1),
            "n_event": np.arange(n) % 2,
            "n_censored": (np.arange(n) + 1) % 2,
            "survival": survival,
            "low": survival - 0.1,
            "high": np.minimum(survival + 0.1, 1),
        }
    )


def nomogram(names, kind="survival"):
    """Return a calculator's inputs by the public class, so that its Python values are the reference."""
    from imrad.survival.nomogram import survival_nomogram

    rng = np.random.default_rng(1)
    matrix = np.column_stack(
        [rng.normal(60, 9, 50), rng.integers(0, 2, 50), *[rng.normal(0, 1, 50) for _ in names[2:]]]
    )
    coef = [0.031, -0.72, *[0.4 - 0.13 * k for k in range(len(names) - 2)]]
    drawn = survival_nomogram(
        names,
        coef,
        matrix,
        event_times=[100.0, 400.0, 900.0],
        hazard=[0.05, 0.21, 0.6],
        offset=1.3,
        times={"1-year survival": 365.0, "3-year survival": 1095.0},
    )
    tables = {"axes": drawn.axes(), "outcome_axes": drawn.outcome_axes(), "totals": drawn.totals()}
    return drawn, drawn.to_plain() | {key: table.to_dict("records") for key, table in tables.items()}


def _survival(run, rng, endpoint, patients, feats, models):
    n = len(patients)
    rows = []
    for name in models:
        c = rng.uniform(0.55, 0.7)
        row = {"model": name, "n": n, "n_events": n // 2, "c_apparent": c + 0.05, "c_bootstrap": c + 0.01, "c_outer": c}
        row |= {"c_outer_low": c - 0.1, "c_outer_high": c + 0.1, "uno_outer": c, "ibs_outer": 0.18}
        row |= {"ibs_without_predictors": 0.2, "n_candidates": 3, "events_per_candidate": n / 6, "n_selected": 3}
        rows.append(row | {"status": "fitted", "reason": "", "notes": ""})
    base = f"survival/{endpoint}"
    write(run, f"{base}/models.csv", pd.DataFrame(rows))
    pairs = [
        (b, a, measure, 0.0123, -0.05, 0.07, 0.61, 5)
        for k, a in enumerate(models)
        for b in models[k + 1 :]
        for measure in ("c", "uno", "ibs")
    ]
    columns = ["model", "reference", "measure", "difference", "low", "high", "p", "n_folds"]
    if pairs:
        write(run, f"{base}/pairs.csv", pd.DataFrame(pairs, columns=columns))
    folds = [(name, f"r0/o{k}", n - n // 5, n // 3, n // 5, n // 10, 0.6) for name in models for k in range(5)]
    columns = ["model", "fold", "n_train", "n_train_events", "n_test", "n_test_events", "c"]
    write(run, f"{base}/folds.csv", pd.DataFrame(folds, columns=columns))
    verdict = {"endpoint": endpoint, "model": "Clinical+ImRad", "reference": "Clinical", "n": n, "n_events": n // 2}
    if {"Clinical", "Clinical+ImRad"} <= set(models):
        verdict |= {"c_difference": 0.0312, "c_low": -0.0123, "c_high": 0.0748, "c_p": 0.1472, "n_folds": 5}
        verdict |= {"ibs_difference": -0.0021, "ibs_low": -0.0102, "ibs_high": 0.0061, "ibs_p": 0.5}
        verdict |= {"status": "not_shown", "sentence": "It is not shown."}
    else:
        verdict |= {
            "status": "not_answered",
            "sentence": f"Not answered for {endpoint}: Clinical+ImRad: not asked for.",
        }
    (run.folder / base / "verdict.json").write_text(json.dumps(verdict))
    terms = ["age_years", "sex=female", *feats[:4]]
    coefficients = [
        (name, term, 0.1 * (k + 1), 1.1, 0.9, 1.4, 0.2, 0.8, "Clinical", "unpenalised", 0.2)
        for name in models
        for k, term in enumerate(terms)
    ]
    columns = ["model", "feature", "coef", "hr", "hr_low", "hr_high", "p", "inclusion", "block", "kind", "coef_per_sd"]
    write(run, f"{base}/coefficients.csv", pd.DataFrame(coefficients, columns=columns))
    curves = [_curve(rng, n // 2).assign(model=name, group=group) for name in models for group in ("low", "high")]
    write(run, f"{base}/curves.csv", pd.concat(curves))
    groups = [(name, group, n // 2, n // 4, 900.0, 3.2, 0.0741) for name in models for group in ("low", "high")]
    columns = ["model", "group", "n", "n_events", "median_days", "log_rank_chi2", "log_rank_p"]
    write(run, f"{base}/groups.csv", pd.DataFrame(groups, columns=columns))
    horizons = [(name, day, "feasible", "", 20, 0.7, 0.6, 0.8, 0.2) for name in models for day in (365.0, 1095.0)]
    horizons += [(name, 1825.0, "refused", "4 at risk", 4, *[math.nan] * 4) for name in models]
    columns = ["model", "horizon_days", "status", "reason", "min_at_risk", "auc", "auc_low", "auc_high", "brier"]
    write(run, f"{base}/horizons.csv", pd.DataFrame(horizons, columns=columns))
    calibration = [
        (name, day, source, k + 1, 15, 5, 0.2 * k + 0.1, 0.2 * k + 0.15, 0.2 * k, 0.2 * k + 0.3, math.nan)
        for name in models
        for day in (365.0, 1095.0)
        for source in ("outer folds", "apparent")
        for k in range(4)
    ]
    columns = [
        "model",
        "horizon_days",
        "source",
        "group",
        "n",
        "events",
        "predicted",
        "observed",
        "low",
        "high",
        "corrected",
    ]
    write(run, f"{base}/calibration.csv", pd.DataFrame(calibration, columns=columns))
    benefit = [
        (t / 100, 0.3 - t / 300, 0.3 - t / 200, 0.0, name, day)
        for name in models
        for day in (365.0, 1095.0)
        for t in range(1, 99)
    ]
    columns = ["threshold", "net_benefit", "net_benefit_all", "net_benefit_none", "model", "horizon_days"]
    write(run, f"{base}/net_benefit.csv", pd.DataFrame(benefit, columns=columns))
    path = [(0.5 * 0.95**k, 9 - 0.01 * k, 0.2, k // 4, k == 20, models[-1]) for k in range(80)]
    write(
        run, f"{base}/path.csv", pd.DataFrame(path, columns=["lambda", "mean", "se", "n_selected", "chosen", "model"])
    )
    lines = [(0.5 * 0.95**k, f, 0.001 * k * (j + 1), models[-1]) for k in range(80) for j, f in enumerate(feats[:25])]
    write(run, f"{base}/path_coefficients.csv", pd.DataFrame(lines, columns=["lambda", "feature", "coef", "model"]))
    ph = [(name, term, 0.5, 1, 0.4) for name in models for term in terms]
    write(run, f"{base}/ph.csv", pd.DataFrame(ph, columns=["model", "term", "chi2", "df", "p"]))
    cuts = [
        ("cut", name, how, n, n // 2, math.nan, 2.0, 0.15, "cut on pooled test risks")
        for name in models
        for how in ("median", "tertiles")
    ]
    columns = ["kind", "model", "level", "n", "n_events", "c", "chi2", "p", "note"]
    write(run, f"{base}/robustness.csv", pd.DataFrame(cuts, columns=columns).assign(low=math.nan, high=math.nan))
    groups = [(name, "sex", level, n // 2, n // 4, 0.61, 0.5, 0.7) for name in models for level in ("female", "male")]
    columns = ["model", "subgroup", "level", "n", "n_events", "c", "low", "high"]
    write(run, f"{base}/subgroups.csv", pd.DataFrame(groups, columns=columns))
    explained = [(p, models[-1], term, rng.normal(), rng.normal()) for p in patients for term in terms]
    columns = ["patient", "model", "feature", "value", "contribution"]
    write(run, f"{base}/explanations.csv", pd.DataFrame(explained, columns=columns))
    (run.folder / base / "nomogram.json").write_text(json.dumps({models[-1]: nomogram(terms)[1]}))
