"""What a fusion of a binary endpoint found, and its final models on patients they have never seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import pandas as pd

from imrad.evaluation import Ledger
from imrad.evaluation.outcomes import binary_outcome
from imrad.evaluation.roc import delong_interval, delong_test
from imrad.exceptions import CohortError
from imrad.survival.frozen_binary import FrozenBinary
from imrad.survival.fusion_core import aligned

__all__ = ["BinaryResult", "ExternalResult"]


@dataclass(frozen=True)
class ExternalResult:
    """Frozen models on patients they have never seen.

    Attributes
    ----------
    models : DataFrame
        model, n, n_positive, auc, auc_low, auc_high (DeLong).
    pairs : DataFrame
        model, reference, difference, low, high, z, p (DeLong, paired).
    probability : DataFrame
        patient, model, probability, observed.
    """

    models: pd.DataFrame
    pairs: pd.DataFrame
    probability: pd.DataFrame


@dataclass(frozen=True)
class BinaryResult:
    """What a binary fusion found; every table has one row per model, or per model and more.

    Attributes
    ----------
    endpoint : str
    models : DataFrame
        model, n, n_positive, auc_apparent, auc_bootstrap, auc_outer, auc_outer_low, auc_outer_high,
        auc_pooled, brier_outer, n_candidates, events_per_candidate, status, reason, notes.
    coefficients : DataFrame
        model, feature, coef, or, or_low, or_high, p, inclusion, block, kind.
    probability : DataFrame
        patient, model, fold, probability, linear_predictor, positive, observed: outer folds.
    folds : DataFrame
        model, fold, n_train, n_test, auc, brier, threshold, penalty, n_selected.
    pairs : DataFrame
        model, reference, measure, method (outer folds; bootstrap, refitted), difference, low, high, p, n.
    operating : DataFrame
        model, kind (apparent, outer), threshold, counts, and sensitivity, specificity, ppv, npv and accuracy with
        intervals at Youden's cut, learnt on the training part.
    roc : DataFrame
        model, kind, threshold, false_positive_share, sensitivity.
    score_ks, score_histogram : DataFrame
        Probabilities by outcome: how far apart they lie, and their counts in bins (outer folds).
    subgroups : DataFrame
        model, subgroup, level, n, n_positive, auc, auc_low, auc_high, sensitivity, specificity, accuracy.
    robustness : DataFrame
        kind (``site left out``, ``perturbed features``), model, level, n, n_events, c (the AUC), low, high,
        risk_sd, risk_icc (of the log odds), note.
    perturbed_risk : DataFrame
        patient, model, fold, n_perturbations, risk, risk_sd, risk_low, risk_high.
    explanations : DataFrame
        patient, model, feature, value, contribution, kind (linear: of the log odds; forest: of the votes).
    multivariable : DataFrame
        The plain logistic regressions with the cut-points of columns that are cut.
    funnel : DataFrame
        model, fold, block, order, step, n_in, n_out.
    matched_pair : DataFrame
        Two patients alike in the block Clinical and unlike in outcome.
    path, path_coefficients : DataFrame
        Of each lasso the cross-validated deviance, and the coefficients, by lambda; the final models.
    indices : DataFrame
        model, index, apparent, corrected, outer: rms::val.prob's figures.
    calibration : DataFrame
        model, kind (ideal, apparent, bias-corrected, outer), predicted, observed.
    net_benefit : DataFrame
        model, threshold, apparent, corrected, outer, treat_all, treat_none.
    reclassification : DataFrame
        NRI and IDI of the outer predictions, for description only.
    univariable : DataFrame
        Every column between the classes: test, p, q, odds ratio.
    nomograms : dict
        Each model as a calculator can evaluate it.
    verdict : dict
        Whether imaging adds to clinical variables, by the outer folds' AUC alone.
    final : dict
        Each model fitted on the whole cohort, as plain values.
    ledger : Ledger
    """

    endpoint: str
    models: pd.DataFrame
    coefficients: pd.DataFrame
    probability: pd.DataFrame
    folds: pd.DataFrame
    pairs: pd.DataFrame
    operating: pd.DataFrame
    roc: pd.DataFrame
    score_ks: pd.DataFrame
    score_histogram: pd.DataFrame
    subgroups: pd.DataFrame
    robustness: pd.DataFrame
    perturbed_risk: pd.DataFrame
    explanations: pd.DataFrame
    multivariable: pd.DataFrame
    matched_pair: pd.DataFrame
    funnel: pd.DataFrame
    path: pd.DataFrame
    path_coefficients: pd.DataFrame
    indices: pd.DataFrame
    calibration: pd.DataFrame
    net_benefit: pd.DataFrame
    reclassification: pd.DataFrame
    univariable: pd.DataFrame
    nomograms: dict[str, Any]
    verdict: dict[str, Any]
    final: dict[str, Any]
    ledger: Ledger

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return every table by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, pd.DataFrame)}

    def external(
        self, y: pd.Series[Any], blocks: Mapping[str, pd.DataFrame], sides: Mapping[str, Any] | None = None
    ) -> ExternalResult:
        """Apply the final models to new patients and compare them by DeLong's test.

        Parameters
        ----------
        y : Series
            0 or 1, index patient.
        blocks : mapping of str to DataFrame
            As in :meth:`BinaryFusion.run`; ``ImRad`` may be given here as a table (columns
            ``Rad-<target>``), made by frozen phenotype models for these new patients.
        sides : mapping, optional
            Side tables of the preparation for the new patients.

        Raises
        ------
        CohortError
            If a patient was in the cohort that the models were fitted on, or a class has fewer than 2.
        """
        patients = [str(name) for name in y.index]
        seen = sorted(set(patients) & set(self.ledger.patients))
        if seen:
            message = (
                f"{len(seen)} of the {len(patients)} external patients are in the cohort that the models were fitted "
                f"on, among them {seen[0]}; leave them out"
            )
            raise CohortError(message)
        outcome = binary_outcome(y.to_numpy())
        tables = {name: aligned(table, patients) for name, table in blocks.items()}
        found = {
            name: FrozenBinary(plain).probability(tables, sides)
            for name, plain in self.final.items()
            if all(block in tables for block in plain["blocks"])
        }
        n, positive = len(outcome), int(outcome.sum())
        rows = [(name, n, positive, *delong_interval(outcome, p)) for name, p in found.items()]
        pairs = []
        for reference, model in combinations(found, 2):
            test = delong_test(outcome, found[model], found[reference])
            pairs.append((model, reference, test.difference, test.low, test.high, test.statistic, test.p))
        tables_long = [
            pd.DataFrame({"patient": patients, "model": name, "probability": p, "observed": outcome.astype(int)})
            for name, p in found.items()
        ]
        return ExternalResult(
            pd.DataFrame(rows, columns=["model", "n", "n_positive", "auc", "auc_low", "auc_high"]),
            pd.DataFrame(pairs, columns=["model", "reference", "difference", "low", "high", "z", "p"]),
            pd.concat(tables_long, ignore_index=True) if tables_long else pd.DataFrame(),
        )
