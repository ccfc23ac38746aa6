"""The same bytes from an existing Dask scheduler."""

import numpy as np
import pandas as pd
import pytest

from imrad import content
from imrad.evaluation import draw_splits
from imrad.phenotype import PhenotypeGrid

distributed = pytest.importorskip("distributed", reason="needs the extra dask")


def test_a_grid_on_a_dask_scheduler_gives_the_same_bytes():
    rng = np.random.default_rng(0)
    names = [f"P{number:02d}" for number in range(48)]
    X = pd.DataFrame(rng.normal(size=(48, 20)), index=names, columns=[f"f{number}" for number in range(20)])
    Y = pd.DataFrame({"a": X["f0"] + rng.normal(size=48), "b": rng.normal(size=48)}, index=names)
    splits = draw_splits(names, np.arange(48) % 2, seed=0, n_outer=3, n_inner=3)

    def digest(**where):
        result = PhenotypeGrid(
            classifiers=("naive_bayes", "logistic_regression", "stacking"), permutations=10, k=5, **where
        ).run(X, Y, splits)
        return content.digest([result.grid, result.summary, result.predictions, result.null, result.ledger.frame()])

    alone = digest()
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address=None
    ) as cluster:
        assert digest(cluster=cluster.scheduler_address) == alone
