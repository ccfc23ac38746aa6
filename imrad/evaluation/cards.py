"""Cards of the metrics and tests: which definition each follows, and where it differs from other packages."""

from __future__ import annotations

from imrad.cards import Card

__all__ = ["CARDS"]

CARDS: tuple[Card, ...] = (
    Card(
        "harrell_c",
        "metric",
        "Harrell's C: pairs whose earlier time is an event, ties in risk "
        "one half, censored at an event's time outlives it; infinitesimal-jackknife variance as survival::concordance.",
        "[0, 1], 0.5 is chance",
        "",
        "doi:10.1002/(SICI)1097-0258(19960229)15:4<361::AID-SIM168>3.0.CO;2-4",
    ),
    Card(
        "uno_c",
        "metric",
        "Uno's C by survival::concordance(timewt='n/G2'): G just before the event, events first at ties; survC1's and "
        "scikit-survival's definitions, which differ in the third digit, are named options.",
        "[0, 1], 0.5 is chance",
        "",
        "doi:10.1002/sim.4154",
    ),
    Card(
        "time_dependent_auc",
        "metric",
        "Cumulative/dynamic AUC by timeROC: cases T < t strictly weighted 1/G(T-), controls T > t; scikit-survival and "
        "riskRegression count T <= t.",
        "[0, 1], 0.5 is chance",
        "",
        "doi:10.1002/sim.5958",
    ),
    Card(
        "auc",
        "metric",
        "Area under the ROC curve, higher scores always meaning the outcome; DeLong's variance and tests, thresholds "
        "midway between scores, intervals cut to [0, 1], as pROC with a fixed direction.",
        "[0, 1], 0.5 is chance",
        "",
        "doi:10.2307/2531595",
    ),
    Card(
        "brier_survival",
        "metric",
        "Brier score weighted for censoring, 1/G(T-) for events and 1/G(t) beyond, as riskRegression and pec; its "
        "standard error includes the weights'.",
        "[0, 1], lower is better",
        "",
        "doi:10.1002/(SICI)1097-0258(19990915/30)18:17/18<2529::AID-SIM274>3.0.CO;2-5",
    ),
    Card(
        "calibration_groups",
        "metric",
        "Predicted against Kaplan-Meier survival in groups of similar prediction, as rms::groupkm; bootstrap-corrected "
        "as rms::calibrate.",
        "survival probability",
        "",
        "doi:10.1007/978-3-319-19425-7",
    ),
    Card(
        "calibration_indices",
        "metric",
        "rms::val.prob: intercept, slope, D, U, Q, Brier, Emax, E90, Eavg and Spiegelhalter's test; C unbinned.",
        "slope 1 and intercept 0 are ideal",
        "",
        "doi:10.1007/978-3-319-19425-7",
    ),
    Card(
        "net_benefit",
        "metric",
        "Decision curve: TP/n - FP/n * t/(1 - t), positive at p >= t; with censoring Kaplan-Meier in the positive, as "
        "dcurves.",
        "up to the prevalence",
        "per patient",
        "doi:10.1177/0272989X06295361",
    ),
    Card(
        "optimism",
        "metric",
        "Efron-Gong bootstrap with selection and tuning repeated; stays optimistic below ten events per candidate.",
        "that of the metric",
        "",
        "doi:10.1080/00031305.1983.10483087",
    ),
    Card(
        "corrected_interval",
        "metric",
        "Interval of a mean over cross-validation folds by Nadeau and Bengio; approximate.",
        "that of the metric",
        "",
        "doi:10.1023/A:1024068626366",
    ),
    Card(
        "reclassification",
        "metric",
        "Continuous or categorical net reclassification and integrated discrimination improvement, as "
        "Hmisc::improveProb; descriptive, in no verdict.",
        "[-2, 2]",
        "",
        "doi:10.1002/sim.4085",
    ),
    Card(
        "log_rank",
        "test",
        "Log-rank and Peto-Peto tests as survival::survdiff; medians are the middle of a stretch where S(t) is exactly "
        "one half, restricted means and reverse Kaplan-Meier follow-up as survfit.",
        "p in [0, 1]",
        "",
        "doi:10.1093/biomet/69.3.553",
    ),
    Card(
        "rank_sum",
        "test",
        "Wilcoxon-Mann-Whitney test by R's rules; exact given the ties on request, where scipy ignores them.",
        "p in [0, 1]",
        "",
        "doi:10.1002/9781119196037",
    ),
    Card(
        "compare_concordance_unbiased",
        "test",
        "Difference of two Harrell's C of the same patients with unbiased U-statistic variances, as compareC (which "
        "prints 1 - C).",
        "p in [0, 1]",
        "",
        "doi:10.1002/sim.6370",
    ),
    Card(
        "student",
        "test",
        "Student's t test with a pooled variance, as R's t.test(var.equal=TRUE).",
        "p in [0, 1]",
        "",
        "doi:10.1093/biomet/6.1.1",
    ),
    Card(
        "bartlett",
        "test",
        "Bartlett's test of equal variances of normal groups, as R's bartlett.test.",
        "p in [0, 1]",
        "",
        "doi:10.1098/rspa.1937.0109",
    ),
    Card(
        "shapiro_wilk",
        "test",
        "Shapiro-Wilk test of normality by Royston's algorithm, as R's shapiro.test; 3 to 5,000 values.",
        "p in [0, 1]",
        "",
        "doi:10.2307/2986146",
    ),
    Card(
        "fisher_exact",
        "test",
        "Fisher's exact test of r x c tables by enumeration, odds ratio by conditional maximum likelihood, as R; scipy "
        "resamples larger tables and reports the sample odds ratio.",
        "p in [0, 1]",
        "",
        "doi:10.2307/2340521",
    ),
    Card(
        "kmeans",
        "clustering",
        "k-means by Lloyd's algorithm, best of several seeded starts; labels by first appearance.",
        "labels from 1",
        "",
        "doi:10.1109/TIT.1982.1056489",
    ),
    Card(
        "find_correlation",
        "redundancy filter",
        "Drops features of highly correlated pairs as caret::findCorrelation.",
        "absolute correlation",
        "",
        "doi:10.18637/jss.v028.i05",
    ),
)
