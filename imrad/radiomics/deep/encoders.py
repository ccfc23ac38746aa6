"""Any encoder as one thing: windows of grey values to vectors, under the digest of its weights."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from imrad import content
from imrad.exceptions import BundleError, ConfigError, InputError, MissingExtraError
from imrad.radiomics.deep.vit import VisionTransformer
from imrad.radiomics.deep.weights import need_torch, read_state

__all__ = ["Encoder", "load_encoder"]

WINDOW = (48, 48, 48)
"""Voxels of a window where neither the file nor the user tells: FM-LCT's."""

CHECKPOINTS = (".pt", ".pth", ".ckpt", ".bin", ".tar", ".safetensors")


class Network(Protocol):
    """What turns windows into vectors."""

    @property
    def window(self) -> tuple[int, ...]:
        """Voxels of its input, z, y, x."""

    def __call__(self, windows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return vectors, (n, width), of windows, (n, z, y, x)."""


class Encoder:
    """A loaded encoder.

    Attributes
    ----------
    digest : str
        SHA-256 of the weights' file.
    kind : str
        ``vit``, ``torchscript`` or ``onnx``.
    window : tuple of int
        Voxels of its input, z, y, x.
    """

    def __init__(self, network: Network, kind: str, digest: str, description: str) -> None:
        self.network, self.kind, self.digest, self.description = network, kind, digest, description
        self.window = (int(network.window[0]), int(network.window[1]), int(network.window[2]))

    def vectors(self, windows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return vectors, shape (n, width), of windows, shape (n, z, y, x), z-scored.

        Raises
        ------
        BundleError
            If the network refuses its input, or answers with what is no vector.
        """
        try:
            found = self.network(windows)
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            first = " ".join(str(error).split())[-160:]
            shape = " x ".join(map(str, self.window))
            message = f"the encoder does not take windows of {shape} voxels ({first}); name its window"
            raise BundleError(message) from error
        found = _pooled(np.asarray(found, dtype=float), len(windows))
        if not np.isfinite(found).all():
            message = "the encoder answers with values that are not finite; check its weights and its window"
            raise BundleError(message)
        return found

    def relevance(self, window: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return where in a window the vector comes from, coarse, as many cells as patches; it sums to 1.

        Attention rollout for a vision transformer; for other encoders how far the vector moves where a
        cell is replaced by the window's mean (occlusion: Zeiler and Fergus, 2014,
        doi:10.1007/978-3-319-10590-1_53).
        """
        if isinstance(self.network, VisionTransformer):
            rolled: NDArray[np.float64] = self.network.rollout(window[None])[0]
            return rolled
        cells = tuple(min(6, n) for n in window.shape)
        edges = [np.linspace(0, n, k + 1).astype(int) for n, k in zip(window.shape, cells, strict=True)]
        hidden = []
        for at in np.ndindex(*cells):
            one = window.copy()
            one[tuple(slice(edge[i], edge[i + 1]) for edge, i in zip(edges, at, strict=True))] = window.mean()
            hidden.append(one)
        plain = self.vectors(window[None])[0]
        moved = [self.vectors(np.stack(hidden[start : start + 8])) - plain for start in range(0, len(hidden), 8)]
        distance = np.linalg.norm(np.concatenate(moved), axis=1).reshape(cells)
        return np.asarray(distance / max(float(distance.sum()), 1e-300))


def load_encoder(
    path: str | Path,
    *,
    window: tuple[int, int, int] | None = None,
    heads: int | None = None,
    pool: str | None = None,
    digest: str | None = None,
) -> Encoder:
    """Load a user's encoder: a masked autoencoder's checkpoint, a TorchScript or an ONNX file.

    Parameters
    ----------
    path : path-like
        ``.pt``, ``.pth``, ``.ckpt``, ``.safetensors`` (weights alone, loaded without executing code),
        TorchScript, or ``.onnx``.
    window : tuple of int, optional
        Voxels of the input, z, y, x; else what the file tells, else 48 x 48 x 48.
    heads, pool
        See :class:`imrad.radiomics.deep.vit.VisionTransformer`.
    digest : str, optional
        SHA-256 that the file must have.

    Raises
    ------
    InputError
        If the file is missing or of no known kind.
    MissingExtraError
        If torch or onnxruntime is needed and not installed.
    BundleError
        If the file is damaged, unsafe, of another architecture or of another digest.
    """
    path = Path(path)
    if not path.is_file():
        message = f"{path} is not there; give the file of the encoder's weights"
        raise InputError(message)
    onnx = path.suffix.lower() == ".onnx"
    if not onnx:
        need_torch()
    found = content.digest_file(path)
    if digest is not None and found != digest.strip().lower():
        message = f"{path} has the digest {found}, not {digest}: these are other weights than the ones named"
        raise BundleError(message)
    if onnx:
        network: Any = _Onnx(path, window)
        return Encoder(network, "onnx", found, "ONNX graph")
    if _is_torchscript(path):
        return Encoder(_TorchScript(path, window), "torchscript", found, "TorchScript module")
    if path.suffix.lower() not in CHECKPOINTS:
        message = f"{path} is of no known kind; give .pt, .pth, .ckpt, .safetensors, TorchScript or .onnx"
        raise InputError(message)
    transformer = VisionTransformer(read_state(path), heads=heads, window=window, pool=pool)
    patch = " x ".join(map(str, transformer.patch))
    told = f"ViT of width {transformer.width}, depth {transformer.depth}, {transformer.heads} heads, patches of {patch}"
    return Encoder(transformer, "vit", found, told)


def _pooled(found: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Return one vector a window: a token sequence gives its first token, a feature map its mean."""
    if found.ndim < 2 or len(found) != n:
        message = f"the encoder answers {n} windows with the shape {found.shape}; (windows, width) is needed"
        raise BundleError(message)
    if found.ndim == 3:
        return found[:, 0]
    return found if found.ndim == 2 else np.asarray(found.reshape(n, found.shape[1], -1).mean(axis=2))


def _is_torchscript(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in name for name in archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return False


class _TorchScript:
    def __init__(self, path: Path, window: tuple[int, int, int] | None) -> None:
        self._torch = torch = need_torch()
        self.window = window or WINDOW
        try:
            with warnings.catch_warnings():
                # TorchScript is deprecated for new exports; users' files stay.
                warnings.simplefilter("ignore")  # noqa: TID251 - around the one call
                self._module = torch.jit.load(str(path), map_location="cpu").eval()
        except (RuntimeError, ValueError) as error:
            message = f"{path} is no readable TorchScript module ({str(error).splitlines()[0][:120]}); export it again"
            raise BundleError(message) from error

    def __call__(self, windows: NDArray[np.float32]) -> NDArray[np.float64]:
        with self._torch.inference_mode():
            found = self._module(self._torch.from_numpy(np.ascontiguousarray(windows[:, None])))
        found = found[0] if isinstance(found, tuple | list) else found
        return np.asarray(found.to(self._torch.float64).numpy())


class _Onnx:
    def __init__(self, path: Path, window: tuple[int, int, int] | None) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            message = "an .onnx encoder needs onnxruntime: pip install onnxruntime"
            raise MissingExtraError(message) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            first = " ".join(str(error).split())[:160]
            message = f"{path} is no readable ONNX encoder ({first}); export it again"
            raise BundleError(message) from error
        (self._input, *others) = self._session.get_inputs()
        shape = self._input.shape
        if others or len(shape) not in (4, 5):
            message = f"{path} takes {len(others) + 1} inputs, the first of shape {shape}; (n, 1, z, y, x) is needed"
            raise BundleError(message)
        self._channel = len(shape) == 5
        told = tuple(n if isinstance(n, int) else 0 for n in shape[-3:])
        if window is not None and any(n and n != w for n, w in zip(told, window, strict=True)):
            message = f"the ONNX encoder takes windows of {told}, not {tuple(window)}"
            raise ConfigError(message)
        base = window or WINDOW
        self.window = tuple(n or w for n, w in zip(told, base, strict=True))
        self._one_by_one = isinstance(shape[0], int) and shape[0] == 1

    def __call__(self, windows: NDArray[np.float32]) -> NDArray[np.float64]:
        given = windows[:, None] if self._channel else windows
        given = np.ascontiguousarray(given, dtype=np.float32)
        parts = [given[n : n + 1] for n in range(len(given))] if self._one_by_one else [given]
        try:
            found = [self._session.run(None, {self._input.name: part})[0] for part in parts]
        except Exception as error:
            raise RuntimeError(str(error)) from error
        return np.asarray(np.concatenate(found), dtype=float)
