"""From the fits of a binary fusion to its tables and its verdict."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from imrad.evaluation.bootstrap import corrected_interval, percentile_interval
from imrad.evaluation.logistic import fit_logistic
from imrad.evaluation.net_benefit import decision_curve, reclassification
from imrad.evaluation.outcomes import BoolArray, FloatArray
from imrad.evaluation.roc import auc
from imrad.exceptions import FitError
from imrad.survival import binary_views as views
from imrad.survival.binary_tasks import GRID, INDICES, THRESHOLDS, BinaryData, _indices, observed_share
from imrad.survival.fusion_core import IMRAD, FinishedFits
from imrad.survival.nomogram import binary_nomogram
from imrad.survival.perturbations import perturbed_patients
from imrad.survival.univariable import univariable_table

IntArray = np.ndarray[Any, np.dtype[np.intp]]

__all__ = ["EVENTS_PER_CANDIDATE", "FinishedBinary", "summarise_binary"]

CANDIDATES, REFERENCE = ("Clinical+ImRad", "Clinical+Rad"), "Clinical"
EVENTS_PER_CANDIDATE = 10


@dataclass(frozen=True)
class FinishedBinary(FinishedFits):
    """All results of a binary fusion's tasks."""

    data: BinaryData

    def resamples(self, name: str) -> dict[str, FloatArray]:
        """Return the bootstrap's metrics, resamples in order; empty where there were none."""
        parts = [part for task, part in self.results.items() if task.kind == "bootstrap" and task.model == name]
        if not parts or any("failed" in part for part in parts):
            return {}
        return {key: np.concatenate([part[key] for part in parts]) for key in parts[0] if key != "ledger"}

    @property
    def question(self) -> tuple[str, str]:
        """Return the two models whose difference is the verdict."""
        if self.data.question is not None:
            return self.data.question
        fullest = next((name for name in CANDIDATES if name in self.fitted), CANDIDATES[0])
        return fullest, REFERENCE

    def pooled(self, name: str) -> tuple[BoolArray, FloatArray, BoolArray]:
        """Return outcomes, outer-fold probabilities and calls of the first repeat's test patients."""
        return self.first_repeat(name)[1:]

    def first_repeat(self, name: str) -> tuple[IntArray, BoolArray, FloatArray, BoolArray]:
        """Return rows, outcomes, outer-fold probabilities and calls of the first repeat's test patients."""
        first = f"r{self.data.splits.repeats[0]}/"
        parts = [(fold, part) for fold, part in self.outer(name) if fold.startswith(first)]
        rows = np.concatenate([self.data.fold(fold).test for fold, _ in parts])
        order = np.argsort(rows, kind="stable")
        probability = np.concatenate([part["probability"] for _, part in parts])[order]
        positive = np.concatenate([part["positive"] for _, part in parts])[order]
        return rows[order], self.data.outcome[rows[order]], probability, np.asarray(positive, dtype=bool)


def summarise_binary(done: FinishedBinary) -> dict[str, Any]:
    """Return every table of a BinaryResult, and its verdict."""
    coefficients = _coefficients(done)
    path, path_coefficients = done.paths()
    return {
        "path": path,
        "path_coefficients": path_coefficients,
        "models": _models(done),
        "coefficients": coefficients,
        "probability": _probability(done),
        "folds": _folds(done),
        "pairs": _pairs(done),
        "operating": views.operating(done),
        "roc": views.roc(done),
        "score_ks": views.score_ks(done),
        "score_histogram": views.score_histogram(done),
        "subgroups": views.subgroups(done),
        "robustness": views.robustness(done),
        "perturbed_risk": perturbed_patients(done, "linear_predictor"),
        "explanations": views.explanations(done),
        "multivariable": views.multivariable(done, coefficients),
        "funnel": views.funnel(done),
        "matched_pair": views.matched_pair(done, done.data.matched_on, done.question[0]),
        "indices": _index_table(done),
        "calibration": _calibration(done),
        "net_benefit": _net_benefit(done),
        "reclassification": _reclassification(done),
        "univariable": univariable_table(
            done.data.outcome[done.data.usable],
            {name: table.loc[done.data.usable] for name, table in done.data.tables.items()},
        ),
        "nomograms": _nomograms(done),
        "verdict": _verdict(done),
        "final": {name: dict(done.whole(name)["final"]) for name in done.fitted},
    }


def _gap(drawn: dict[str, FloatArray], name: str) -> FloatArray:
    """Mean optimism over the resamples where both values exist."""
    gap = drawn[f"inside_{name}"] - drawn[f"outside_{name}"]
    known = np.isfinite(gap)
    count = known.sum(axis=0)
    return np.asarray(np.where(count > 0, np.where(known, gap, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan))


def _models(done: FinishedBinary) -> pd.DataFrame:
    data = done.data
    n, positive = int(data.usable.sum()), int(data.outcome[data.usable].sum())
    rows = []
    for name in done.names:
        row: dict[str, Any] = {"model": name, "n": n, "n_positive": positive}
        reason = done.failure(name)
        if reason:
            rows.append(row | {"status": "skipped", "reason": reason})
            continue
        whole, drawn = done.whole(name), done.resamples(name)
        interval = corrected_interval(done.values(name, "auc"), test_share=done.test_share, null=0.5, bounds=(0.0, 1.0))
        y, probability, _ = done.pooled(name)
        candidates = _candidates(data, name)
        fewer = min(positive, n - positive)
        notes = [note for _, part in done.outer(name) for note in part["notes"]] + list(whole["notes"])
        if fewer < EVENTS_PER_CANDIDATE * candidates:
            notes.insert(
                0,
                f"{fewer / candidates:.1f} patients of the smaller class per candidate predictor (below "
                f"{EVENTS_PER_CANDIDATE}): apparent and bootstrap-corrected values stay optimistic",
            )
        apparent = whole["indices"]["auc"]
        rows.append(
            row
            | {
                "auc_apparent": apparent,
                "auc_bootstrap": apparent - float(_gap(drawn, "indices")[0]) if drawn else np.nan,
                "auc_outer": interval.mean,
                "auc_outer_low": interval.low,
                "auc_outer_high": interval.high,
                "auc_pooled": float(auc(y, probability)),
                "brier_outer": float(np.nanmean(done.values(name, "brier"))),
                "n_folds": interval.n,
                "n_candidates": candidates,
                "events_per_candidate": fewer / candidates,
                "n_selected": int(np.count_nonzero(whole["coef"])),
                "n_resamples": int(np.isfinite(drawn["inside_indices"][:, 0]).sum()) if drawn else 0,
                "status": "fitted",
                "reason": "",
                "notes": "; ".join(dict.fromkeys(notes)),
            }
        )
    columns = [
        *("model", "n", "n_positive", "auc_apparent", "auc_bootstrap", "auc_outer", "auc_outer_low", "auc_outer_high"),
        *("auc_pooled", "brier_outer", "n_folds", "n_candidates", "events_per_candidate", "n_selected"),
        *("n_resamples", "status", "reason", "notes"),
    ]
    return pd.DataFrame(rows, columns=columns)


def _candidates(data: BinaryData, name: str) -> int:
    total = 0
    for block in data.model(name).blocks:
        if block != IMRAD:
            total += data.tables[block].shape[1]
        elif data.phenotype is not None:
            total += len(data.phenotype.targets)
    return max(total, 1)


def _coefficients(done: FinishedBinary) -> pd.DataFrame:
    parts = []
    for name in done.fitted:
        whole, model = done.whole(name), done.data.model(name)
        outer = [dict(zip(part["names"], part["coef"], strict=True)) for _, part in done.outer(name)]
        table = pd.DataFrame({"feature": whole["names"], "coef": whole["coef"], "block": whole["block"]})
        half = stats.norm.ppf(0.975) * whole["se"]
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            table["or"] = np.exp(table["coef"])
            table["or_low"], table["or_high"] = np.exp(whole["coef"] - half), np.exp(whole["coef"] + half)
            table["p"] = 2 * stats.norm.sf(np.abs(whole["coef"] / whole["se"]))
        table["inclusion"] = [float(np.mean([fold.get(item, 0.0) != 0 for fold in outer])) for item in table["feature"]]
        table["coef_per_sd"] = table["coef"] * whole["scale"]
        table["kind"] = np.where(table["block"].isin(model.unpenalised), "unpenalised", "penalised")
        parts.append(table.assign(model=name))
        if model.penalised:
            parts.append(_refit(done, whole, table).assign(model=name))
    columns = ["model", "feature", "coef", "or", "or_low", "or_high", "p", "inclusion", "block", "kind", "coef_per_sd"]
    parts = [part for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _refit(done: FinishedBinary, whole: dict[str, Any], table: pd.DataFrame) -> pd.DataFrame:
    """Refit the selected columns without penalty: intervals that ignore the selection."""
    kept = np.flatnonzero(whole["coef"])
    if len(kept) == 0:
        return pd.DataFrame()
    try:
        fit = fit_logistic(done.data.outcome[done.data.usable], whole["matrix"][:, kept])
    except FitError:
        return pd.DataFrame()
    if fit.separated:
        return pd.DataFrame()
    found = fit.table().iloc[1:].reset_index(drop=True)
    out = table.iloc[kept].reset_index(drop=True)
    for ours, theirs in (("coef", "coef"), ("or", "odds_ratio"), ("or_low", "low"), ("or_high", "high"), ("p", "p")):
        out[ours] = found[theirs]
    out["kind"] = "refit, naive after selection"
    out["coef_per_sd"] = out["coef"] * np.asarray(whole["scale"])[kept]
    return out


def _probability(done: FinishedBinary) -> pd.DataFrame:
    patients = np.asarray(done.data.patients, dtype=object)
    parts = []
    for name in done.fitted:
        for fold, part in done.outer(name):
            test = done.data.fold(fold).test
            columns = {
                "patient": patients[test],
                "model": name,
                "fold": fold,
                "probability": part["probability"],
                "linear_predictor": part["linear_predictor"],
                "positive": part["positive"],
                "observed": done.data.outcome[test].astype(int),
            }
            parts.append(pd.DataFrame(columns))
    columns_empty = ["patient", "model", "fold", "probability", "linear_predictor", "positive", "observed"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns_empty)


def _folds(done: FinishedBinary) -> pd.DataFrame:
    rows = []
    for name in done.fitted:
        for label, part in done.outer(name):
            fold = done.data.fold(label)
            rows.append(
                {
                    "model": name,
                    "fold": label,
                    "n_train": len(fold.train),
                    "n_train_positive": int(done.data.outcome[fold.train].sum()),
                    "n_test": len(fold.test),
                    "n_test_positive": int(done.data.outcome[fold.test].sum()),
                    "auc": part["auc"],
                    "brier": part["brier"],
                    "threshold": part["threshold"],
                    "penalty": part["penalty"],
                    "n_selected": int(np.count_nonzero(part["coef"])),
                }
            )
    return pd.DataFrame(rows)


def _pairs(done: FinishedBinary) -> pd.DataFrame:
    """Differences in the outer folds, and by a bootstrap that refits both models in the same resamples."""
    rows = []
    for reference, model in combinations(done.fitted, 2):
        for measure in ("auc", "brier"):
            gap = done.values(model, measure) - done.values(reference, measure)
            found = corrected_interval(gap, test_share=done.test_share)
            rows.append((model, reference, measure, "outer folds", found.mean, found.low, found.high, found.p, found.n))
        drawn, other = done.resamples(model), done.resamples(reference)
        if drawn and other:
            gap = drawn["left_out"] - other["left_out"]
            gap = gap[np.isfinite(gap)]
            if len(gap):
                low, high = percentile_interval(gap)
                tail = min(np.sum(gap <= 0), np.sum(gap >= 0)) + 1
                p = float(min(1.0, 2 * tail / (len(gap) + 1)))
                rows.append((model, reference, "auc", "bootstrap, refitted", float(gap.mean()), low, high, p, len(gap)))
    columns = ["model", "reference", "measure", "method", "difference", "low", "high", "p", "n"]
    return pd.DataFrame(rows, columns=columns)


def _index_table(done: FinishedBinary) -> pd.DataFrame:
    """val.prob's figures: apparent, bootstrap-corrected, and of the pooled outer predictions."""
    rows = []
    for name in done.fitted:
        whole, drawn = done.whole(name), done.resamples(name)
        apparent = np.array([whole["indices"][index] for index in INDICES], dtype=float)
        y, probability, _ = done.pooled(name)
        outer = _indices(y, probability)
        corrected = apparent - _gap(drawn, "indices") if drawn else np.full(len(INDICES), np.nan)
        for number, index in enumerate(INDICES):
            rows.append((name, index, apparent[number], corrected[number], outer[index]))
    return pd.DataFrame(rows, columns=["model", "index", "apparent", "corrected", "outer"])


def _calibration(done: FinishedBinary) -> pd.DataFrame:
    """Calibration curves: ideal, apparent, bias-corrected, and of the pooled outer predictions."""
    parts = []
    for name in done.fitted:
        whole, drawn = done.whole(name), done.resamples(name)
        y, probability, _ = done.pooled(name)
        error = {
            "ideal": np.zeros(len(GRID)),
            "apparent": whole["calibration"],
            "outer": observed_share(y, probability) - GRID,
        }
        if drawn:
            error["bias-corrected"] = whole["calibration"] - _gap(drawn, "calibration")
        for kind, gap in error.items():
            table = pd.DataFrame(
                {"model": name, "kind": kind, "predicted": GRID, "observed": np.clip(GRID + gap, 0, 1)}
            )
            parts.append(table.dropna())
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _net_benefit(done: FinishedBinary) -> pd.DataFrame:
    """Decision curves: apparent, corrected and outer, beside treating all and none."""
    parts = []
    y_all = done.data.outcome[done.data.usable]
    for name in done.fitted:
        whole, drawn = done.whole(name), done.resamples(name)
        y, probability, _ = done.pooled(name)
        outer = decision_curve(y, probability, THRESHOLDS)
        table = pd.DataFrame(
            {
                "model": name,
                "threshold": THRESHOLDS,
                "apparent": whole["net_benefit"],
                "corrected": whole["net_benefit"] - _gap(drawn, "net_benefit") if drawn else np.nan,
                "outer": outer["net_benefit"],
                "treat_all": float(y_all.mean()) - (1 - float(y_all.mean())) * THRESHOLDS / (1 - THRESHOLDS),
                "treat_none": 0.0,
            }
        )
        parts.append(table)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _reclassification(done: FinishedBinary) -> pd.DataFrame:
    """NRI and IDI of the outer predictions; for description, in no verdict."""
    parts = []
    for reference, model in combinations(done.fitted, 2):
        y, old, _ = done.pooled(reference)
        table = reclassification(y, old, done.pooled(model)[1]).reset_index()
        table.insert(0, "reference", reference)
        table.insert(0, "model", model)
        parts.append(table)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _steps(final: dict[str, Any]) -> dict[str, list[str]]:
    columns = [column for coding in final["coding"].values() for column in coding]
    return {str(column["name"]): list(column["levels"]) for column in columns if column["kind"] == "ordered"}


def _nomograms(done: FinishedBinary) -> dict[str, Any]:
    out = {}
    for name in done.fitted:
        whole = done.whole(name)
        cuts = zip(whole["names"], np.asarray(whole["cuts"], dtype=float), strict=False)
        sides = {column: [f"up to {cut:.4g}", f"above {cut:.4g}"] for column, cut in cuts if np.isfinite(cut)}
        try:
            found = binary_nomogram(
                whole["names"],
                whole["coef"],
                np.asarray(whole["matrix"], dtype=float),
                intercept=whole["intercept"],
                outcome=done.data.endpoint,
                labels={**done.data.levels, **_steps(whole["final"]), **sides},
            )
        except FitError:
            continue
        tables = {"axes": found.axes(), "outcome_axes": found.outcome_axes(), "totals": found.totals()}
        out[name] = found.to_plain() | {key: table.to_dict("records") for key, table in tables.items()}
    return out


def _verdict(done: FinishedBinary) -> dict[str, Any]:
    data = done.data
    candidate, reference = done.question
    out: dict[str, Any] = {
        "endpoint": data.endpoint,
        "model": candidate,
        "reference": reference,
        "n": int(data.usable.sum()),
        "n_positive": int(data.outcome[data.usable].sum()),
    }
    absent = [name for name in (reference, candidate) if name not in done.fitted]
    if absent:
        why = "; ".join(f"{name}: {done.failure(name) if name in done.names else 'not asked for'}" for name in absent)
        return out | {"status": "not_answered", "sentence": f"Not answered for {data.endpoint}: {why}."}
    gap = done.values(candidate, "auc") - done.values(reference, "auc")
    found = corrected_interval(gap, test_share=done.test_share)
    status = "adds" if found.low > 0 else "worse" if found.high < 0 else "not_shown"
    more = "Imaging" if candidate in CANDIDATES else candidate
    known = "the clinical variables" if reference == REFERENCE else reference
    words = {
        "adds": f"{more} adds to {known}",
        "worse": f"{more} predicts worse than {known}" if more == candidate else f"{more} makes {known} predict worse",
        "not_shown": f"It is not shown that {more if more == candidate else 'imaging'} adds to {known}",
    }[status]
    sentence = (
        f"{words} for {data.endpoint}: AUC of {candidate} minus {reference} in the outer folds is {found.mean:+.3f} "
        f"(95 % interval {found.low:+.3f} to {found.high:+.3f}, p = {found.p:.2f}); {out['n']} patients, "
        f"{out['n_positive']} with the outcome, {found.n} outer folds."
    )
    figures = {"auc_difference": found.mean, "auc_low": found.low, "auc_high": found.high, "auc_p": found.p}
    return out | figures | {"n_folds": found.n, "status": status, "sentence": sentence}
