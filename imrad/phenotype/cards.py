"""Method cards of the phenotype room."""

from __future__ import annotations

from imrad.cards import Card

__all__ = ["CARDS"]

_ORANGE = "Demsar J et al. Orange: data mining toolbox in Python. JMLR 2013;14:2349-2353"
_BINS = "four equal-frequency bins learnt from the training rows"

CARDS: tuple[Card, ...] = (
    Card(
        "information_gain",
        "selector",
        f"Fall of the class entropy given the feature's bin; {_BINS}.",
        "[0, 1]",
        "bit",
        _ORANGE,
    ),
    Card(
        "gain_ratio",
        "selector",
        f"Information gain over the entropy of the bins; {_BINS}. Without ties it ranks as information gain does.",
        "[0, 1]",
        "",
        _ORANGE,
    ),
    Card(
        "gini_decrease",
        "selector",
        f"Fall of the class's Gini impurity given the feature's bin; {_BINS}.",
        "[0, 0.5]",
        "",
        _ORANGE,
    ),
    Card(
        "fcbf",
        "selector",
        "Fast correlation-based filter: features that no better feature predicts better than they predict the class; "
        f"{_BINS}; removed features fill up the places.",
        "[0, inf)",
        "",
        "Yu L, Liu H. ICML 2003:856-863",
    ),
    Card(
        "mrmr",
        "selector",
        "Greedy maximum relevance, minimum redundancy: F statistic over mean |Pearson r| with the chosen.",
        "rank",
        "",
        "doi:10.1109/DSAA.2019.00059",
    ),
    Card(
        "mrmre",
        "selector",
        "Greedy mutual information with the class (r = 2 AUC - 1) minus its mean with the chosen (Pearson r): mRMRe.",
        "rank",
        "nat",
        "doi:10.1093/bioinformatics/btt383",
    ),
    Card(
        "univariate",
        "selector",
        "One-way analysis of variance (or Kruskal-Wallis) of one feature at a time.",
        "[0, inf)",
        "",
        "Fisher RA, 1925",
    ),
    Card(
        "lasso",
        "selector",
        "Features that the lasso path on standardised features holds where it last has at most k of them.",
        "[0, inf)",
        "",
        "doi:10.1111/j.2517-6161.1996.tb02080.x",
    ),
    Card("none", "selector", "All features; the ablation's row without a selector.", "", "", ""),
    Card(
        "random_forest",
        "classifier",
        "Bagged trees on random feature subsets; founding: 10 trees, splits of 5 or more.",
        "[0, 1]",
        "probability",
        "doi:10.1023/A:1010933404324",
    ),
    Card(
        "gradient_boosting",
        "classifier",
        "Boosted trees on the logistic loss; founding: 100 trees of depth 3, rate 0.1.",
        "[0, 1]",
        "probability",
        "doi:10.1214/aos/1013203451",
    ),
    Card(
        "logistic_regression",
        "classifier",
        "L2-penalised logistic regression; founding: C = 1.",
        "[0, 1]",
        "probability",
        "doi:10.1111/j.2517-6161.1958.tb00292.x",
    ),
    Card(
        "svm",
        "classifier",
        "RBF support vector machine; Platt's sigmoid of its margin, slope at least 0; founding: C = 1, 100 iterations.",
        "[0, 1]",
        "probability",
        "doi:10.1007/BF00994018",
    ),
    Card(
        "naive_bayes",
        "classifier",
        f"Naive Bayes with add-one counts on {_BINS}, as Orange's.",
        "[0, 1]",
        "probability",
        _ORANGE,
    ),
    Card(
        "knn",
        "classifier",
        "Share of the high class among the nearest patients; founding: 5, Euclidean, uniform.",
        "[0, 1]",
        "probability",
        "doi:10.1109/TIT.1967.1053964",
    ),
    Card(
        "neural_network",
        "classifier",
        "One hidden layer, Adam; founding: 100 units, 200 epochs, alpha 1e-4.",
        "[0, 1]",
        "probability",
        "doi:10.1038/323533a0",
    ),
    Card(
        "stacking",
        "classifier",
        "L2 logistic regression on the other classifiers' inner out-of-fold probabilities, which the grid has already "
        "computed. In the inner folds it is judged by the mean of its bases' probabilities; its own scores of training "
        "rows, where it is chosen, come from base fits that leave out two inner folds at a time.",
        "[0, 1]",
        "probability",
        "doi:10.1016/S0893-6080(05)80023-1",
    ),
    Card(
        "auc_nested",
        "metric",
        "Mean within-fold AUC in the outer folds of the cell that each one's inner folds chose; the class cut is the "
        "training fold's, high is strictly above it. Interval: Nadeau-Bengio, approximate.",
        "[0, 1]",
        "",
        "doi:10.1023/A:1024068626366",
    ),
    Card(
        "p_permutation",
        "metric",
        "Rank of the best cell's mean outer AUC (over the declared cells) among the same for permuted targets, drawn "
        "until enough lie above it (Besag-Clifford). It tests whether any declared cell orders patients at all, "
        "whichever cell the inner folds chose.",
        "(0, 1]",
        "",
        "doi:10.1093/biomet/78.2.301",
    ),
    Card(
        "q_fdr",
        "metric",
        "Benjamini-Hochberg over the targets that were not skipped.",
        "(0, 1]",
        "",
        "doi:10.1111/j.2517-6161.1995.tb02031.x",
    ),
    Card(
        "optimism",
        "metric",
        "AUC of the published protocol (cut and selection on all patients) minus the honest AUC of the same cell.",
        "[-1, 1]",
        "",
        "",
    ),
)
