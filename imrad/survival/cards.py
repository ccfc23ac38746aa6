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
    Card(
        "BinaryFusion",
        "binary model",
        "Logistic regression (lasso, elastic net, unpenalised clinical columns) or a linear support vector machine "
        "over blocks, by nested cross-validation with 1,000 refitted resamples.",
        "probability",
        "",
        "doi:10.1002/sim.5328",
    ),
    Card(
        "maximally_selected",
        "cut-point",
        "Maximally selected log-rank statistic with Hothorn and Lausen's scores; p by the exact Gaussian distribution, "
        "Lausen and Schumacher's bounds or permutation. Groups at such a cut are optimistic.",
        "p in [0, 1]",
        "",
        "doi:10.1016/S0167-9473(02)00225-6",
    ),
    Card(
        "cumulative_incidence",
        "survival estimate",
        "Aalen-Johansen estimate with infinitesimal-jackknife standard errors, as R's survfit of several states.",
        "[0, 1]",
        "",
        "doi:10.1002/sim.2712",
    ),
    Card(
        "hazard_regression",
        "survival estimate",
        "Log hazard of linear splines in time and one covariate, grown by Rao and cut by Wald statistics, BIC's "
        "choice; the smooth calibration curve of rms::calibrate, whose knots follow polspline's search.",
        "[0, 1]",
        "",
        "doi:10.1080/01621459.1995.10476491",
    ),
    Card(
        "nomogram",
        "presentation",
        "A linear model as points: the widest axis spans 100, axes begin at 0 points, as rms::nomogram.",
        "points",
        "",
        "doi:10.1007/978-3-319-19425-7",
    ),
)
