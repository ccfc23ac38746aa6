"""Cards of the survival models and selectors."""

from __future__ import annotations

from imrad.cards import Card

__all__ = ["CARDS"]

CARDS: tuple[Card, ...] = (
    Card(
        "LassoCox",
        "survival model",
        "Cox regression with a lasso or elastic-net penalty: glmnet's objective and path, Breslow ties, penalty chosen "
        "by cross-validated grouped deviance or C, coefficients at the converged optimum.",
        "linear predictor, higher is earlier",
        "",
        "doi:10.18637/jss.v039.i05",
    ),
    Card(
        "CoxPH",
        "survival model",
        "Cox regression without penalty, Efron or Breslow ties, as R's coxph.",
        "linear predictor, higher is earlier",
        "",
        "doi:10.1111/j.2517-6161.1972.tb00899.x",
    ),
    Card(
        "UnivariateCox",
        "survival selector",
        "Keeps columns by the Wald p value of a Cox model of each alone, per SD, p optionally adjusted.",
        "p in [0, 1]",
        "",
        "doi:10.1111/j.2517-6161.1972.tb00899.x",
    ),
    Card(
        "SurvivalMRMR",
        "survival selector",
        "Greedy maximum relevance (concordance with survival) and minimum redundancy (correlation), as mRMRe classic.",
        "relevance in nats",
        "",
        "doi:10.1093/bioinformatics/btt383",
    ),
)
