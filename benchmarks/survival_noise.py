"""What the fusion reports on pure noise, on a planted signal, and how often its interval covers.

Three studies: noise (113 patients, 30 noise covariates, 25 % events), planted signal judged on 5,000 new
patients, and coverage of the outer folds' interval on a cheap model.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd

from imrad.evaluation import draw_splits
from imrad.evaluation.bootstrap import corrected_interval
from imrad.evaluation.discrimination import harrell_c
from imrad.exceptions import FitError
from imrad.survival.coxph import CoxPH
from imrad.survival.fusion import SurvivalFusion
from imrad.survival.models import BlockModel


def draw(n: int, p: int, rng: np.random.Generator, *, effect: float = 0.0, events: float = 0.25):
    """Covariates, days and events; the first three covariates carry the effect."""
    x = rng.standard_normal((n, p))
    died = -np.log(rng.uniform(size=n)) / np.exp(effect * x[:, :3].sum(axis=1))
    left = -np.log(rng.uniform(size=n)) * events / (1 - events)
    return x, np.minimum(died, left) * 1000, died <= left


def noise(seeds: int, n_bootstrap: int) -> pd.DataFrame:
    rows = []
    models = [
        BlockModel("unpenalised Cox", ("Noise",), unpenalised=("Noise",)),
        BlockModel("lasso Cox", ("Noise",), unpenalised=()),
    ]
    for seed in range(seeds):
        x, days, event = draw(113, 30, np.random.default_rng(seed))
        names = [f"P{i}" for i in range(113)]
        block = pd.DataFrame(x, index=names).add_prefix("noise")
        splits = draw_splits(names, event, seed=seed)
        fusion = SurvivalFusion(models, seed=seed, n_bootstrap=n_bootstrap, horizons_days=())
        table = fusion.run(pd.DataFrame({"days": days, "event": event}, index=names), {"Noise": block}, splits).models
        rows.append(table.assign(seed=seed))
    table = pd.concat(rows)
    return table.groupby("model")[["c_apparent", "c_bootstrap", "c_outer"]].agg(["mean", "std"])


def folds_c(x, days, event, seed, k=5):
    values = []
    for fold in draw_splits([str(i) for i in range(len(x))], event, seed=seed, n_outer=k).outer(0):
        try:
            model = CoxPH().fit(x[fold.train], (days[fold.train], event[fold.train]))
        except FitError:
            model = CoxPH(ridge=1.0).fit(x[fold.train], (days[fold.train], event[fold.train]))
        values.append(harrell_c(days[fold.test], event[fold.test], model.predict(x[fold.test])))
    return np.array(values)


def coverage(seeds: int, effect: float, n: int = 113, k: int = 5) -> dict[str, float]:
    means, truths, intervals = [], [], []
    for seed in range(seeds):
        x, days, event = draw(n, 3, np.random.default_rng(seed), effect=effect)
        values = folds_c(x, days, event, seed, k)
        if seed < 300:
            rows = np.arange(n)[: n * (k - 1) // k]
            model = CoxPH().fit(x[rows], (days[rows], event[rows]))
            new = draw(5000, 3, np.random.default_rng(10**6 + seed), effect=effect)
            truths.append(harrell_c(new[1], new[2], model.predict(new[0])))
        found = corrected_interval(values, test_share=1 / (k - 1), null=0.5, bounds=(0.0, 1.0))
        means.append(found.mean)
        intervals.append((found.low, found.high))
    truth, bounds = float(np.mean(truths)), np.array(intervals)
    covered = (bounds[:, 0] <= truth) & (truth <= bounds[:, 1])
    return {
        "effect": effect,
        "mean c_outer": float(np.mean(means)),
        "mean C on 5,000 new patients": truth,
        "coverage of the 95 % interval": float(covered.mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--bootstrap", type=int, default=20)
    parser.add_argument("--coverage-seeds", type=int, default=2000)
    parser.add_argument("--only", choices=("noise", "coverage"))
    arguments = parser.parse_args()
    if arguments.only != "coverage":
        print(noise(arguments.seeds, arguments.bootstrap).round(3).to_string())
    if arguments.only != "noise":
        rows = [coverage(arguments.coverage_seeds, effect) for effect in (0.0, 0.4, 0.8)]
        print(pd.DataFrame(rows).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
