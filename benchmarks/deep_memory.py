"""Peak memory of the deep adapter on a volume of 512 x 512 x 400 voxels, with a ViT-B of random weights.

python benchmarks/deep_memory.py          with a mask of 64 x 72 x 60 mm
python benchmarks/deep_memory.py --whole  windows over the whole volume, with a smaller network
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk

from imrad.radiomics.deep import DeepSettings, extract_deep, read_deep_cases


def write_case(folder: Path) -> None:
    """Write the volume and the mask."""
    rng = np.random.default_rng(0)
    volume = np.empty((400, 512, 512), dtype=np.int16)
    for plane in volume:
        plane[:] = rng.normal(40, 15, plane.shape)
    mask = np.zeros(volume.shape, dtype=np.uint8)
    mask[170:230, 200:290, 210:290] = 1
    for name, array in (("ct", volume), ("mask", mask)):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((0.8, 0.8, 1.0))
        sitk.WriteImage(image, str(folder / f"{name}.nii"))


def write_weights(path: Path, width: int, depth: int, patch: int = 8, side: int = 6) -> None:
    """Write a masked autoencoder's encoder with random weights, under the published names."""
    import torch

    drawn = torch.Generator().manual_seed(1)

    def some(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=drawn) * 0.02

    state = {"cls_token": some(1, 1, width), "pos_embed": some(1, side**3 + 1, width)}
    state |= {"patch_embed.proj.weight": some(width, 1, patch, patch, patch), "patch_embed.proj.bias": some(width)}
    norms = ["norm", *(f"blocks.{n}.{name}" for n in range(depth) for name in ("norm1", "norm2"))]
    for name in norms:
        state |= {f"{name}.weight": torch.ones(width), f"{name}.bias": some(width)}
    sizes = {"attn.qkv": (3, 1), "attn.proj": (1, 1), "mlp.fc1": (4, 1), "mlp.fc2": (1, 4)}
    for number in range(depth):
        for name, (rows, columns) in sizes.items():
            state[f"blocks.{number}.{name}.weight"] = some(rows * width, columns * width)
            state[f"blocks.{number}.{name}.bias"] = some(rows * width)
    torch.save(state, path)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is None:
        import subprocess
        import sys

        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_case(folder)
            width, depth = (192, 2) if options.whole else (768, 12)
            write_weights(folder / "encoder.pth", width, depth)
            row = {"patient": "A", "image": "ct.nii", **({} if options.whole else {"mask": "mask.nii"})}
            pd.DataFrame([row]).to_csv(folder / "cases.csv", index=False)
            # A process of its own, so that making the volume does not count.
            subprocess.run([sys.executable, __file__, "--child", name], check=True)
        return
    start = time.process_time()
    done = extract_deep(read_deep_cases(options.child / "cases.csv"), options.child / "encoder.pth", DeepSettings())
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{done.about['description']}: {len(done.features)} vector, {seconds:.1f} s of CPU, peak {peak:.0f} MB")


if __name__ == "__main__":
    main()
