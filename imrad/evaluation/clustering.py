"""Clusters of patients or features: hclust's linkages, cutree's labels, silhouettes, medoids, means."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.cluster import hierarchy
from scipy.spatial import distance

from imrad.evaluation.outcomes import FloatArray, IntArray
from imrad.exceptions import CohortError
from imrad.seeds import generator

__all__ = ["LINKAGES", "cut_tree", "kmeans", "linkage", "medoids", "silhouette"]

LINKAGES = ("ward.D", "ward.D2", "complete", "average", "single")


def _square(distances: npt.ArrayLike) -> FloatArray:
    d = np.asarray(distances, dtype=float)
    if d.ndim == 1:
        return np.asarray(distance.squareform(d))
    if d.ndim != 2 or d.shape[0] != d.shape[1] or np.isnan(d).any():
        message = f"distances of shape {d.shape}: a square table without missing values is needed"
        raise CohortError(message)
    return d


def linkage(distances: npt.ArrayLike, method: str = "ward.D2") -> FloatArray:
    """Return a hierarchical tree in scipy's form, with R's names and heights.

    Parameters
    ----------
    distances : array_like, shape (n, n) or condensed
    method : str
        One of :data:`LINKAGES`. ``ward.D2`` is Ward's criterion (scipy's ward); ``ward.D`` applies
        the same update to unsquared distances and is another tree.

    References
    ----------
    Murtagh and Legendre, 2014, doi:10.1007/s00357-014-9161-z.
    """
    if method not in LINKAGES:
        message = f"unknown linkage {method!r}; known are {', '.join(LINKAGES)}"
        raise ValueError(message)
    condensed = distance.squareform(_square(distances), checks=False)
    if method == "ward.D":
        # Ward's update works on squares: distances enter by their root and heights leave squared.
        tree = hierarchy.linkage(np.sqrt(condensed), "ward")
        tree[:, 2] **= 2
        return np.asarray(tree)
    return np.asarray(hierarchy.linkage(condensed, "ward" if method == "ward.D2" else method))


def cut_tree(tree: npt.ArrayLike, n_clusters: int) -> IntArray:
    """Return cluster labels from 1, numbered by first appearance as R's cutree."""
    raw = hierarchy.cut_tree(np.asarray(tree), n_clusters=n_clusters).ravel()
    first = {label: number for number, label in enumerate(dict.fromkeys(raw.tolist()), start=1)}
    return np.array([first[label] for label in raw.tolist()], dtype=np.intp)


def silhouette(distances: npt.ArrayLike, labels: npt.ArrayLike) -> FloatArray:
    """Return each object's silhouette width; 0 for a cluster of one.

    References
    ----------
    Rousseeuw, 1987, doi:10.1016/0377-0427(87)90125-7.
    """
    d = _square(distances)
    groups, member = np.unique(np.asarray(labels), return_inverse=True)
    if len(groups) < 2:
        message = "one cluster: a silhouette needs at least 2"
        raise CohortError(message)
    size = np.bincount(member).astype(float)
    sums = d @ np.eye(len(groups))[member]
    rows = np.arange(len(d))
    own_size = size[member]
    with np.errstate(divide="ignore", invalid="ignore"):
        own = sums[rows, member] / (own_size - 1)
        other = sums / size
    other[rows, member] = np.inf
    nearest = other.min(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        width = (nearest - own) / np.maximum(own, nearest)
    return np.asarray(np.where(own_size > 1, np.nan_to_num(width), 0.0))


def medoids(distances: npt.ArrayLike, n_clusters: int) -> tuple[IntArray, IntArray, float]:
    """Partition around medoids: greedy build, then the best swaps until none helps, as cluster::pam.

    Returns
    -------
    medoids : ndarray of int, shape (n_clusters,)
        Row numbers from 0, ordered by their clusters' first appearance.
    labels : ndarray of int, shape (n,)
        From 1, by first appearance.
    objective : float
        Mean distance to the nearest medoid.

    References
    ----------
    Kaufman and Rousseeuw, 1990, doi:10.1002/9780470316801.
    """
    d = _square(distances)
    n = len(d)
    if not 1 <= n_clusters <= n:
        message = f"{n_clusters} clusters of {n} objects: between 1 and {n} are possible"
        raise CohortError(message)
    chosen = [int(np.argmin(d.sum(axis=1)))]
    while len(chosen) < n_clusters:
        gain = np.maximum(d[chosen].min(axis=0)[None, :] - d, 0.0).sum(axis=1)
        gain[chosen] = -1.0
        chosen.append(int(np.argmax(gain)))
    while True:
        cost = d[chosen].min(axis=0).sum()
        best, swap = 0.0, None
        for position in range(n_clusters):
            rest = chosen[:position] + chosen[position + 1 :]
            near = d[rest].min(axis=0) if rest else np.full(n, np.inf)
            change = np.minimum(near[None, :], d).sum(axis=1) - cost
            change[chosen] = 0.0
            candidate = int(np.argmin(change))
            if change[candidate] < best - 1e-12 * max(1.0, float(cost)):
                best, swap = float(change[candidate]), (position, candidate)
        if swap is None:
            break
        chosen[swap[0]] = swap[1]
    nearest = np.asarray(chosen)[np.argmin(d[chosen], axis=0)]
    order = list(dict.fromkeys(nearest.tolist()))
    labels = np.array([order.index(k) + 1 for k in nearest.tolist()], dtype=np.intp)
    return np.array(order, dtype=np.intp), labels, float(d[chosen].min(axis=0).mean())


def kmeans(
    values: npt.ArrayLike, n_clusters: int, *, n_starts: int = 50, seed: int = 0
) -> tuple[FloatArray, IntArray, float]:
    """Partition around means by Lloyd's algorithm (scikit-learn's), the best of several starts.

    The optimum found depends on the starts where clusters are not clear; R's kmeans(nstart) moves
    single rows besides and may end in another one.

    Parameters
    ----------
    values : array_like, shape (n, n_columns)
        Scaled columns, without missing values.
    n_clusters, n_starts : int
    seed : int
        Of the starts.

    Returns
    -------
    means : ndarray, shape (n_clusters, n_columns)
        Ordered by their clusters' first appearance.
    labels : ndarray of int, shape (n,)
        From 1, by first appearance.
    within : float
        Sum of squared distances to the nearest mean.

    Raises
    ------
    CohortError
        If values are missing, or there are fewer distinct rows than clusters.

    References
    ----------
    Lloyd, 1982, doi:10.1109/TIT.1982.1056489.
    """
    from sklearn.cluster import KMeans

    x = np.asarray(values, dtype=float)
    if x.ndim != 2 or not np.isfinite(x).all():
        message = f"values of shape {x.shape}: k-means needs a table without missing values"
        raise CohortError(message)
    distinct = len(np.unique(x, axis=0))
    if not 1 <= n_clusters <= distinct:
        message = f"{n_clusters} clusters of {distinct} distinct rows: between 1 and {distinct} are possible"
        raise CohortError(message)
    start = int(generator(seed, "clustering/kmeans").integers(2**31 - 1))
    found = KMeans(n_clusters, n_init=n_starts, random_state=start, tol=0.0).fit(x)
    order = list(dict.fromkeys(found.labels_.tolist()))
    labels = np.array([order.index(k) + 1 for k in found.labels_.tolist()], dtype=np.intp)
    return np.asarray(found.cluster_centers_[order]), labels, float(found.inertia_)
