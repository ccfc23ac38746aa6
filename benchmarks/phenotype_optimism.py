"""What the published order of steps claims on the embedded cohort, and the honest value beside it.

Information gain and naive Bayes, averaged over the cell types that can be judged. Orange's naive
Bayes counts the same four bins that the selector scored on all patients, which flatters most; a
Gaussian one sees less of what the bins were chosen for. The honest values are alike.
`python benchmarks/phenotype_optimism.py` takes a few seconds.
"""

from __future__ import annotations

import pandas as pd
from sklearn.naive_bayes import GaussianNB

from imrad.datasets import load_tcga_blca
from imrad.evaluation import draw_splits
from imrad.phenotype import PhenotypeGrid
from imrad.stages import blocks

SEEDS = (0, 1, 2)


def main() -> None:
    data = load_tcga_blca()
    X, Y = blocks.features(data), blocks.targets(data, None)
    cells = Y[[name for name in Y.columns if name.startswith("cell:")]]
    tables = []
    for seed in SEEDS:
        splits = draw_splits(list(X.index), data.obs["os_event"].to_numpy(), seed=seed)
        found = PhenotypeGrid(
            selectors=("information_gain", "univariate"),
            classifiers={"naive Bayes on bins": "naive_bayes", "Gaussian naive Bayes": GaussianNB()},
            protocol="published",
            permutations=0,
            controls=False,
            ablation=False,
            bundles=False,
            seed=seed,
        ).run(X, cells, splits)
        tables.append(found.published)
    table = pd.concat(tables)
    means = table.groupby(["selector", "classifier"])[["auc", "auc_honest", "optimism"]].mean()
    print(f"{table['target'].nunique()} cell types, {len(SEEDS)} split tables")
    print(means.round(3).to_string())


if __name__ == "__main__":
    main()
