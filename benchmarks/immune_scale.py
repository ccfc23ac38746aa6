"""All of TCGA's size: 11,000 samples x 20,000 genes scored in one process; prints time and peak memory.

Run: OMP_NUM_THREADS=1 python benchmarks/immune_scale.py [--samples 11000] [--genes 20000] [--kill-after 20]
The generated matrix is written once as Parquet in a temporary folder (the writing is not measured:
the scoring runs in a process of its own). With --kill-after the process is killed (SIGKILL) after
that many seconds and started again, which resumes from the finished chunks.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

CHILD = """
import resource, sys, time
import pandas as pd
from imrad.execution import Store
from imrad.immune import read_expression, score
path, store, out = sys.argv[1:4]
shown = {}
def progress(label, done, total):
    tenth = 10 * done // total
    if shown.get(label) != tenth:
        shown[label] = tenth
        print(f"  {label} {done}/{total}", flush=True)
start = time.perf_counter()
matrix = read_expression(path)
print(f"read {matrix.shape} in {time.perf_counter() - start:.1f} s", flush=True)
start = time.perf_counter()
result = score(matrix, n_permutations=1000, store=Store(store), progress=progress)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
print(f"scored {result.scores.shape} in {time.perf_counter() - start:.1f} s; peak memory {peak:.2f} GiB (under 4 GB)")
result.scores.to_csv(out)
"""


def write_matrix(path: Path, samples: int, genes: int) -> None:
    from imrad.immune.identifiers import reference_symbols

    names = sorted(reference_symbols())[:genes]
    names += [f"FILLER{number}" for number in range(genes - len(names))]
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        rng = np.random.default_rng(0)
        level = rng.normal(2, 2, genes)
        columns = {"gene": pa.array(names)}
        for number in range(samples):
            values = np.exp(level + rng.normal(0, 1, genes))
            columns[f"S{number:05d}"] = pa.array(values / values.sum() * 1e6)
        pq.write_table(pa.table(columns), path)
        return
    rng = np.random.default_rng(0)
    with path.open("w") as handle:
        handle.write("gene\t" + "\t".join(f"S{number:05d}" for number in range(samples)) + "\n")
        for name in names:
            values = np.exp(rng.normal(2, 2) + rng.normal(0, 1, samples))
            handle.write(name + "\t" + "\t".join(f"{value:.4f}" for value in values) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=11_000)
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--format", choices=["parquet", "tsv"], default="parquet")
    parser.add_argument("--kill-after", type=float, default=0.0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / f"matrix.{args.format}"
        write = [sys.executable, __file__]
        subprocess.run(
            [
                *write[:1],
                "-c",
                f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); "
                f"from pathlib import Path; from immune_scale import write_matrix; "
                f"write_matrix(Path({str(path)!r}), {args.samples}, {args.genes})",
            ],
            check=True,
        )
        print(f"matrix of {args.samples} x {args.genes}: {path.stat().st_size / 1e9:.2f} GB on disk", flush=True)
        command = [sys.executable, "-c", CHILD, str(path), str(folder / "store"), str(folder / "scores.csv")]
        if args.kill_after:
            child = subprocess.Popen(command)
            time.sleep(args.kill_after)
            child.kill()
            child.wait()
            print(f"killed after {args.kill_after} s; {len(list((folder / 'store').glob('*.zip')))} chunks kept")
        subprocess.run(command, check=True)
        scores = pd.read_csv(folder / "scores.csv", index_col=0)
        print(f"missing scores: {int(scores.isna().sum().sum())}")


if __name__ == "__main__":
    main()
