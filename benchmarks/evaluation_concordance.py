"""C-index with 1,000 bootstraps against scikit-survival's function in a loop, on one core, in one run."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from sksurv.metrics import concordance_index_censored

from imrad.evaluation.bootstrap import resample_counts, resample_indices
from imrad.evaluation.discrimination import bootstrap_c, concordance, harrell_c
from imrad.execution import single_thread


def best_of(function: Callable[[], object], repeats: int) -> float:
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return min(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=[113, 1000])
    parser.add_argument("--loop", type=int, default=200, help="resamples timed of the loop; the rest is scaled")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    print(f"{'n':>6} {'imrad s':>10} {'loop s':>10} {'ratio':>8} {'largest difference':>20}")
    with single_thread():
        for n in args.sizes:
            duration = rng.exponential(900, n).round()
            event = rng.random(n) < 0.4
            risk = rng.normal(size=n).round(2)
            counts = resample_counts(n, args.resamples, seed=1)
            rows = resample_indices(n, args.loop, seed=1)

            def loop(parts=rows, y=event, t=duration, r=risk):  # type: ignore[no-untyped-def]
                return np.array([concordance_index_censored(y[part], t[part], r[part])[0] for part in parts])

            def fast(y=event, t=duration, r=risk, w=counts):  # type: ignore[no-untyped-def]
                return bootstrap_c(t, y, r, w)

            ours = best_of(fast, args.repeats)
            theirs = best_of(loop, 1) * args.resamples / args.loop
            gap = float(np.nanmax(np.abs(fast()[: args.loop] - loop())))
            print(f"{n:>6} {ours:>10.4f} {theirs:>10.2f} {theirs / ours:>8.0f} {gap:>20.1e}")
        n = 100_000
        duration, event, risk = rng.exponential(900, n).round(1), rng.random(n) < 0.4, rng.normal(size=n).round(3)
        print(f"n = {n}: C {best_of(lambda: harrell_c(duration, event, risk), 1):.2f} s, ", end="")
        print(f"with its variance {best_of(lambda: concordance(duration, event, risk), 1):.2f} s")


if __name__ == "__main__":
    main()
