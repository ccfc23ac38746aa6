"""Groups of patients by a score: cuts learnt on the training part, curves, numbers at risk, comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from imrad.evaluation.kaplan_meier import LogRank, follow_up, kaplan_meier, log_rank, pairwise_log_rank
from imrad.evaluation.outcomes import BoolArray, FloatArray, survival_outcome
from imrad.exceptions import CohortError, FeasibilityError

__all__ = [
    "Cut",
    "GroupComparison",
    "compare_groups",
    "group_curves",
    "group_summary",
    "learn_cut",
    "numbers_at_risk",
    "restricted_mean_differences",
    "twin_groups",
]

LABELS = {2: ("low", "high"), 3: ("low", "middle", "high"), 4: ("lowest", "lower", "upper", "highest")}
SHARES = {"median": (1 / 2,), "tertiles": (1 / 3, 2 / 3), "quartiles": (1 / 4, 1 / 2, 3 / 4)}


@dataclass(frozen=True)
class Cut:
    """A cut of a score into groups, learnt once and applied unchanged.

    Attributes
    ----------
    edges : tuple of float
        A value above an edge belongs to the group above.
    labels : tuple of str
        From the lowest group to the highest.
    how : str
        ``median``, ``tertiles``, ``quartiles`` or ``given``.
    """

    edges: tuple[float, ...]
    labels: tuple[str, ...]
    how: str

    def apply(self, values: npt.ArrayLike) -> npt.NDArray[np.object_]:
        """Return each patient's group; None where the value is missing."""
        x = np.asarray(values, dtype=float)
        group = np.asarray(self.labels, dtype=object)[np.searchsorted(np.asarray(self.edges), x, side="left")]
        group[np.isnan(x)] = None
        return np.asarray(group, dtype=object)


def learn_cut(values: npt.ArrayLike, how: str | float | Sequence[float] = "median") -> Cut:
    """Learn a cut on the training patients' values.

    Parameters
    ----------
    values : array_like, shape (n_training,)
        Missing values are left out.
    how : str, float or sequence of float
        ``"median"``, ``"tertiles"``, ``"quartiles"`` (R's type 7 quantiles), or the edges themselves.

    Raises
    ------
    FeasibilityError
        If ties leave a group empty.
    """
    x = np.asarray(values, dtype=float)
    x = x[~np.isnan(x)]
    if isinstance(how, str):
        if how not in SHARES:
            message = f"unknown cut {how!r}; known are {', '.join(SHARES)} or numbers"
            raise ValueError(message)
        if len(x) == 0:
            message = f"no values to learn a cut at the {how} from"
            raise FeasibilityError(message)
        edges = tuple(float(edge) for edge in np.quantile(x, SHARES[how]))
        name = how
    else:
        edges = tuple(sorted(float(edge) for edge in np.atleast_1d(how)))
        name = "given"
    labels = LABELS.get(len(edges) + 1, tuple(f"group {k + 1}" for k in range(len(edges) + 1)))
    cut = Cut(edges, labels, name)
    empty = [label for label in labels if not (cut.apply(x) == label).any()]
    if empty and len(x):
        message = (
            f"a cut at {', '.join(f'{edge:g}' for edge in edges)} leaves the group {empty[0]!r} empty among {len(x)} "
            f"patients with {len(np.unique(x))} different values; give other edges"
        )
        raise FeasibilityError(message)
    return cut


@dataclass(frozen=True)
class GroupComparison:
    """All that a Kaplan-Meier figure and its caption need, as tables.

    Attributes
    ----------
    summary, curves, at_risk, pairwise, restricted_means : DataFrame
    test : LogRank
    note : str
        What a reader must know, such as that the cut was chosen on these outcomes.
    """

    summary: pd.DataFrame
    curves: pd.DataFrame
    at_risk: pd.DataFrame
    pairwise: pd.DataFrame
    restricted_means: pd.DataFrame
    test: LogRank
    note: str = ""


def _parts(
    time: npt.ArrayLike, event: npt.ArrayLike, group: npt.ArrayLike, order: Sequence[object] | None
) -> list[tuple[object, FloatArray, BoolArray]]:
    times, events = survival_outcome(time, event)
    labels = np.asarray(group, dtype=object)
    if labels.shape != times.shape:
        message = f"{labels.size} group labels for {len(times)} patients: one per patient is needed"
        raise CohortError(message)
    known = ~pd.isna(labels)
    present = list(dict.fromkeys(labels[known]))
    names = [name for name in order if name in present] if order is not None else sorted(present, key=_natural)
    if not names:
        message = f"no patient of {len(times)} has a group: nothing can be compared"
        raise CohortError(message)
    return [(name, times[known & (labels == name)], events[known & (labels == name)]) for name in names]


def _natural(label: object) -> tuple[int, str]:
    known = [name for names in LABELS.values() for name in names]
    return (known.index(label), "") if label in known else (len(known), str(label))


def _common_span(parts: list[tuple[object, FloatArray, BoolArray]]) -> float:
    return float(min(times.max() for _, times, _ in parts))


def group_summary(
    time: npt.ArrayLike,
    event: npt.ArrayLike,
    group: npt.ArrayLike,
    *,
    horizons: Sequence[float] = (),
    tau: float | None = None,
    order: Sequence[object] | None = None,
) -> pd.DataFrame:
    """Describe each group's survival.

    Parameters
    ----------
    time, event, group : array_like, shape (n_patients,)
        Patients without a group (None or NaN) are left out.
    horizons : sequence of float
        Times at which survival with its interval is given (columns ``survival_<t>``, ``_low``, ``_high``).
    tau : float, optional
        Span of the restricted mean; by default the shortest of the groups' longest times.
    order : sequence, optional
        Order of the groups.

    Returns
    -------
    DataFrame
        group, n, events, median, median_low, median_high, follow_up (reverse Kaplan-Meier median),
        tau, restricted_mean, restricted_mean_low, restricted_mean_high and the horizons; a median that is
        not reached is NaN.
    """
    parts = _parts(time, event, group, order)
    span = _common_span(parts) if tau is None else float(tau)
    z = float(stats.norm.ppf(0.975))
    rows = []
    for name, times, events in parts:
        curve = kaplan_meier(times, events)
        median, low, high = curve.median()
        mean, se = curve.restricted_mean(span)
        row = {
            "group": name,
            "n": len(times),
            "events": int(events.sum()),
            "median": median,
            "median_low": low,
            "median_high": high,
            "follow_up": follow_up(times, events)[0],
            "tau": span,
            "restricted_mean": mean,
            "restricted_mean_low": mean - z * se,
            "restricted_mean_high": mean + z * se,
        }
        if len(horizons):
            at = curve.at(horizons)
            for t, s, lower, upper in zip(horizons, at["survival"], at["low"], at["high"], strict=True):
                row |= {f"survival_{t:g}": s, f"survival_{t:g}_low": lower, f"survival_{t:g}_high": upper}
        rows.append(row)
    return pd.DataFrame(rows)


def restricted_mean_differences(
    time: npt.ArrayLike,
    event: npt.ArrayLike,
    group: npt.ArrayLike,
    *,
    tau: float | None = None,
    order: Sequence[object] | None = None,
) -> pd.DataFrame:
    """Compare restricted mean survival of each group with the first: group, reference, difference, se, low, high, p.

    References
    ----------
    Royston and Parmar, 2013, doi:10.1186/1471-2288-13-152.
    """
    parts = _parts(time, event, group, order)
    span = _common_span(parts) if tau is None else float(tau)
    means = [(name, *kaplan_meier(times, events).restricted_mean(span)) for name, times, events in parts]
    rows = []
    for name, mean, se in means[1:]:
        difference, spread = mean - means[0][1], float(np.hypot(se, means[0][2]))
        half = float(stats.norm.ppf(0.975)) * spread
        p = float(2 * stats.norm.sf(abs(difference) / spread)) if spread > 0 else float("nan")
        rows.append((name, means[0][0], span, difference, spread, difference - half, difference + half, p))
    return pd.DataFrame(rows, columns=["group", "reference", "tau", "difference", "se", "low", "high", "p"])


def numbers_at_risk(
    time: npt.ArrayLike,
    event: npt.ArrayLike,
    group: npt.ArrayLike,
    times: Sequence[float],
    *,
    order: Sequence[object] | None = None,
) -> pd.DataFrame:
    """Count the patients still at risk: group, time, n_risk, and cumulative events and censorings before time."""
    rows = []
    for name, own, events in _parts(time, event, group, order):
        for t in times:
            before = own < t
            rows.append((name, float(t), int((~before).sum()), int(events[before].sum()), int((~events)[before].sum())))
    return pd.DataFrame(rows, columns=["group", "time", "n_risk", "events", "censored"])


def group_curves(
    time: npt.ArrayLike,
    event: npt.ArrayLike,
    group: npt.ArrayLike,
    *,
    order: Sequence[object] | None = None,
    kind: str = "log",
) -> pd.DataFrame:
    """Return every group's curve from time 0: group, time, n_risk, n_event, n_censored, survival, low, high."""
    tables = []
    for name, own, events in _parts(time, event, group, order):
        table = kaplan_meier(own, events).table(kind=kind)
        start = pd.DataFrame([[0.0, float(len(own)), 0.0, 0.0, 1.0, 1.0, 1.0]], columns=table.columns)
        table = pd.concat([start, table], ignore_index=True) if table["time"].iloc[0] > 0 else table
        table.insert(0, "group", [name] * len(table))
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def compare_groups(
    time: npt.ArrayLike,
    event: npt.ArrayLike,
    group: npt.ArrayLike,
    *,
    horizons: Sequence[float] = (),
    at_risk_times: Sequence[float] | None = None,
    tau: float | None = None,
    order: Sequence[object] | None = None,
    note: str = "",
) -> GroupComparison:
    """Compare survival between groups in every usual way at once.

    Parameters
    ----------
    time, event, group : array_like, shape (n_patients,)
    horizons, tau, order
        As in :func:`group_summary`.
    at_risk_times : sequence of float, optional
        By default six times from 0 to the longest.
    note : str
        Kept beside the tables.
    """
    times, events = survival_outcome(time, event)
    labels = np.asarray(group, dtype=object)
    known = ~pd.isna(labels)
    ticks = np.linspace(0, float(times.max(initial=1.0)), 6) if at_risk_times is None else np.asarray(at_risk_times)
    text = labels[known].astype(str)
    return GroupComparison(
        summary=group_summary(times, events, labels, horizons=horizons, tau=tau, order=order),
        curves=group_curves(times, events, labels, order=order),
        at_risk=numbers_at_risk(times, events, labels, [float(t) for t in ticks], order=order),
        pairwise=pairwise_log_rank(times[known], events[known], text),
        restricted_means=restricted_mean_differences(times, events, labels, tau=tau, order=order),
        test=log_rank(times[known], events[known], text),
        note=note,
    )


def twin_groups(
    time: npt.ArrayLike,
    event: npt.ArrayLike,
    measured: pd.DataFrame,
    predicted: pd.DataFrame,
    *,
    cuts: Mapping[str, Cut] | None = None,
    tau: float | None = None,
) -> pd.DataFrame:
    """Set each measured immune value beside its ``Rad-`` twin and compare how either splits survival.

    Parameters
    ----------
    time, event : array_like, shape (n_patients,)
    measured, predicted : DataFrame
        Same rows as the times; a target's column in `predicted` is named ``Rad-<target>`` or ``<target>``.
        Predictions must be out of fold.
    cuts : mapping, optional
        Cut of each column, learnt elsewhere; by default the median of these patients, which is
        descriptive.
    tau : float, optional
        As in :func:`group_summary`.

    Returns
    -------
    DataFrame
        target, source (``measured`` or ``Rad-``), n, n_low, n_high, median_low, median_high (survival of
        the groups), chi2, p, restricted_mean_difference (high minus low); patients with the measured
        value only, so that both rows speak of the same ones. Targets that cannot be cut have a reason.
    """
    times, events = survival_outcome(time, event)
    if not len(measured) == len(predicted) == len(times):
        message = (
            f"{len(measured)} measured and {len(predicted)} predicted rows for {len(times)} patients: "
            "one of each per patient is needed"
        )
        raise CohortError(message)
    rows = []
    for target in measured.columns:
        twin = f"Rad-{target}" if f"Rad-{target}" in predicted.columns else target
        if twin not in predicted.columns:
            continue
        pair = {"measured": measured[target].to_numpy(dtype=float), "Rad-": predicted[twin].to_numpy(dtype=float)}
        both = ~(np.isnan(pair["measured"]) | np.isnan(pair["Rad-"]))
        for source, values in pair.items():
            row: dict[str, object] = {"target": target, "source": source, "n": int(both.sum()), "reason": ""}
            name = str(target if source == "measured" else twin)
            try:
                cut = cuts[name] if cuts is not None and name in cuts else learn_cut(values[both])
                row |= _split_row(times[both], events[both], cut.apply(values[both]), cut.labels, tau)
            except FeasibilityError as error:
                row["reason"] = str(error)
            rows.append(row)
    return pd.DataFrame(rows)


def _split_row(
    times: FloatArray,
    events: BoolArray,
    group: npt.NDArray[np.object_],
    labels: tuple[str, ...],
    tau: float | None,
) -> dict[str, object]:
    low, high = labels[0], labels[-1]
    test = log_rank(times, events, group.astype(str))
    row: dict[str, object] = {"chi2": test.chi2, "p": test.p}
    for label, name in ((low, "low"), (high, "high")):
        inside = group == label
        row[f"n_{name}"] = int(inside.sum())
        row[f"median_{name}"] = kaplan_meier(times[inside], events[inside]).median()[0] if inside.any() else np.nan
    if (group == low).any() and (group == high).any():
        gap = restricted_mean_differences(times, events, group, tau=tau, order=[low, high])
        row["restricted_mean_difference"] = float(gap["difference"].iloc[0])
    return row
