"""The encoder of a masked autoencoder on 3-D patches, its architecture read from the weights' shapes.

The names are those of timm's vision transformer, which masked autoencoders and FM-LCT share:
``cls_token``, ``pos_embed``, ``patch_embed.proj``, ``blocks.N.{norm1, attn.qkv, attn.proj, norm2, mlp.fc1,
mlp.fc2}``, ``norm``. FM-LCT is of width 768, depth 12, patches of 8 voxels in windows of 48.

References
----------
Dosovitskiy et al., 2021, arXiv:2010.11929. He et al., 2022, doi:10.1109/CVPR52688.2022.01553.
FM-LCT: github.com/zhenweishi/FM-LCT.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrad.exceptions import BundleError, ConfigError
from imrad.radiomics.deep.weights import need_torch

__all__ = ["VisionTransformer"]

HEAD_WIDTH = 64
"""Width of an attention head where nothing is said: ViT-S, -B, -L and -H all have it."""

EPSILON = 1e-6
"""Of every LayerNorm in timm's and the masked autoencoder's transformers."""

_OTHER = re.compile(
    r"(momentum|teacher|target|ema|predictor|queue|decoder|head|fc_norm|pre_logits|mask_token|projector|optimizer)"
)
_BLOCK = (
    *("norm1.weight", "norm1.bias", "attn.qkv.weight", "attn.proj.weight", "attn.proj.bias"),
    *("norm2.weight", "norm2.bias", "mlp.fc1.weight", "mlp.fc1.bias", "mlp.fc2.weight", "mlp.fc2.bias"),
)


class VisionTransformer:
    """A vision transformer's encoder, for inference alone.

    Parameters
    ----------
    state : mapping of str to tensor
        A checkpoint's weights; prefixes such as ``module.`` and ``base_encoder.`` are found, and decoder,
        head and momentum weights passed over.
    heads : int, optional
        Attention heads, which no shape tells; else one for each 64 of the width.
    window : tuple of int, optional
        Voxels of the input (z, y, x); else the cube that the position embedding was made for.
    pool : {"token", "mean"}, optional
        The class token, or the mean of the patches' tokens; else the class token where there is one.

    Attributes
    ----------
    width, depth, heads : int
    patch, window, grid : tuple of int
        Voxels of a patch, voxels of the input, patches of the input; z, y, x.

    Raises
    ------
    BundleError
        If the names or shapes are not those of such an encoder; the first that differs is named.
    ConfigError
        If heads or window do not fit the weights.
    """

    def __init__(
        self,
        state: Mapping[str, Any],
        *,
        heads: int | None = None,
        window: tuple[int, int, int] | None = None,
        pool: str | None = None,
    ) -> None:
        prefix = _prefix(state)
        own = {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}
        self._torch = torch = need_torch()
        weights = {
            name: value.to(torch.float32)
            for name, value in own.items()
            if not _OTHER.match(name) and value.is_floating_point()
        }
        self._read_patches(weights)
        numbers = sorted({int(match[1]) for name in weights if (match := re.match(r"blocks\.(\d+)\.", name))})
        self.depth = len(numbers)
        if not numbers or numbers != list(range(self.depth)):
            message = f"the weights have the blocks {numbers or 'none'}; a transformer's are 0, 1, 2 and so on"
            raise BundleError(message)
        self._refuse_others(weights)
        self.heads = _heads(self.width, heads)
        self._positions(weights, window)
        self.pool = pool or ("token" if self._prefix_tokens else "mean")
        if self.pool == "token" and not self._prefix_tokens:
            message = "the weights have no class token; choose pool: mean"
            raise ConfigError(message)
        odd = next((name for name, value in weights.items() if not bool(torch.isfinite(value).all())), None)
        if odd is not None:
            message = f"the weights {odd} hold values that are not finite; download the checkpoint again"
            raise BundleError(message)
        self._weights = weights

    def _read_patches(self, weights: Mapping[str, Any]) -> None:
        proj = weights["patch_embed.proj.weight"]
        self.patch: tuple[int, ...]
        if proj.ndim == 2:
            side = round(proj.shape[1] ** (1 / 3))
            if side**3 != proj.shape[1]:
                message = f"patch_embed.proj takes {proj.shape[1]} values, no cube of voxels; a 3-D encoder is needed"
                raise BundleError(message)
            self.patch, self.channels = (side, side, side), 1
        elif proj.ndim == 5:
            self.patch, self.channels = tuple(int(n) for n in proj.shape[2:]), int(proj.shape[1])
        else:
            message = (
                f"patch_embed.proj has the shape {tuple(proj.shape)}: it embeds {proj.ndim - 2}-dimensional patches, "
                "a 3-D encoder is needed"
            )
            raise BundleError(message)
        if self.channels != 1:
            message = f"the encoder takes {self.channels} channels; one with a single grey channel is needed"
            raise BundleError(message)
        self.width = int(proj.shape[0])

    def _refuse_others(self, weights: Mapping[str, Any]) -> None:
        width, hidden = (
            self.width,
            int(weights.get("blocks.0.mlp.fc1.weight", weights["patch_embed.proj.weight"]).shape[0]),
        )
        shapes = {
            **{"norm1.weight": (width,), "norm1.bias": (width,), "norm2.weight": (width,), "norm2.bias": (width,)},
            **{"attn.qkv.weight": (3 * width, width), "attn.qkv.bias": (3 * width,), "attn.proj.bias": (width,)},
            **{"attn.proj.weight": (width, width), "mlp.fc1.weight": (hidden, width), "mlp.fc1.bias": (hidden,)},
            **{"mlp.fc2.weight": (width, hidden), "mlp.fc2.bias": (width,)},
        }
        expected = {f"blocks.{n}.{name}": shape for n in range(self.depth) for name, shape in shapes.items()}
        expected |= {"norm.weight": (width,), "norm.bias": (width,), "patch_embed.proj.bias": (width,)}
        needed = [f"blocks.{n}.{name}" for n in range(self.depth) for name in _BLOCK]
        absent = next(
            (name for name in (*needed, "norm.weight", "norm.bias", "pos_embed") if name not in weights), None
        )
        known = {*expected, "cls_token", "pos_embed", "patch_embed.proj.weight"}
        unknown = next((name for name in weights if name not in known), None)
        if absent or unknown:
            what = f"lack {absent}" if absent else f"hold {unknown}, which such an encoder does not have"
            message = (
                f"the weights are not those of a masked autoencoder's ViT: they {what}; "
                "export the encoder as TorchScript or ONNX"
            )
            raise BundleError(message)
        for name, shape in expected.items():
            if name in weights and tuple(weights[name].shape) != shape:
                found = " x ".join(map(str, weights[name].shape))
                message = f"the weights {name} are {found} where {' x '.join(map(str, shape))} is needed"
                raise BundleError(message)

    def _positions(self, weights: Mapping[str, Any], window: tuple[int, int, int] | None) -> None:
        embedding = weights["pos_embed"]
        if embedding.ndim != 3 or embedding.shape[2] != self.width:
            message = f"pos_embed has the shape {tuple(embedding.shape)} where (1, tokens, {self.width}) is needed"
            raise BundleError(message)
        tokens = int(embedding.shape[1])
        self._prefix_tokens = 1 if "cls_token" in weights else 0
        if window is None:
            side = round((tokens - self._prefix_tokens) ** (1 / 3))
            window = tuple(side * n for n in self.patch)  # type: ignore[assignment]
        assert window is not None
        self.window = tuple(int(n) for n in window)
        self.grid = tuple(n // p for n, p in zip(self.window, self.patch, strict=True))
        fits = all(n % p == 0 for n, p in zip(self.window, self.patch, strict=True))
        count = int(np.prod(self.grid))
        # Some position embeddings leave the class token out.
        self._token_has_place = tokens == count + self._prefix_tokens
        if not fits or (tokens != count and not self._token_has_place):
            sizes = " x ".join(map(str, self.window))
            message = (
                f"pos_embed has places for {tokens} tokens, a window of {sizes} voxels has {count} patches of "
                f"{' x '.join(map(str, self.patch))}; name the window that the encoder was trained on"
            )
            raise ConfigError(message)

    def __call__(self, windows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return vectors, shape (n, width), of windows, shape (n, z, y, x)."""
        return self.forward(windows)[0]

    def forward(
        self, windows: NDArray[np.float32], *, attention: bool = False
    ) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
        """Return vectors and, where asked for, every block's attention, (n, heads, tokens, tokens)."""
        torch, weights, kept = self._torch, self._weights, []
        F = torch.nn.functional
        with torch.inference_mode():
            x = torch.from_numpy(np.ascontiguousarray(windows, dtype=np.float32))
            n = x.shape[0]
            (d, h, w), (pd, ph, pw) = self.grid, self.patch
            patches = x.reshape(n, d, pd, h, ph, w, pw).permute(0, 1, 3, 5, 2, 4, 6).reshape(n, d * h * w, pd * ph * pw)
            proj = weights["patch_embed.proj.weight"].reshape(self.width, -1)
            x = F.linear(patches, proj, weights.get("patch_embed.proj.bias"))
            places = weights["pos_embed"]
            if self._prefix_tokens:
                token = weights["cls_token"].reshape(1, 1, self.width).expand(n, 1, self.width)
                if not self._token_has_place:
                    x = x + places
                x = torch.cat((token, x), dim=1)
            if self._token_has_place:
                x = x + places
            for number in range(self.depth):
                x, attended = self._block(F, x, f"blocks.{number}.")
                if attention:
                    kept.append(attended.to(torch.float64).numpy())
            x = F.layer_norm(x, (self.width,), weights["norm.weight"], weights["norm.bias"], EPSILON)
            pooled = x[:, 0] if self.pool == "token" else x[:, self._prefix_tokens :].mean(dim=1)
            return np.asarray(pooled.to(torch.float64).numpy()), kept

    def _block(self, F: Any, x: Any, name: str) -> tuple[Any, Any]:
        weights, width = self._weights, self.width
        n, tokens = x.shape[0], x.shape[1]

        def norm(y: Any, which: str) -> Any:
            place = f"{name}{which}"
            return F.layer_norm(y, (width,), weights[f"{place}.weight"], weights[f"{place}.bias"], EPSILON)

        def linear(y: Any, which: str) -> Any:
            return F.linear(y, weights[f"{name}{which}.weight"], weights.get(f"{name}{which}.bias"))

        parts = linear(norm(x, "norm1"), "attn.qkv").reshape(n, tokens, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        attended = (query @ key.transpose(-2, -1) * (width // self.heads) ** -0.5).softmax(dim=-1)
        x = x + linear((attended @ value).transpose(1, 2).reshape(n, tokens, width), "attn.proj")
        return x + linear(F.gelu(linear(norm(x, "norm2"), "mlp.fc1")), "mlp.fc2"), attended

    def rollout(self, windows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return how much each patch flows into the vector, (n, z, y, x) of the patch grid, summing to 1.

        References
        ----------
        Abnar and Zuidema, 2020, doi:10.18653/v1/2020.acl-main.385.
        """
        _, blocks = self.forward(windows, attention=True)
        tokens = blocks[0].shape[-1]
        flow = np.broadcast_to(np.eye(tokens), (len(windows), tokens, tokens))
        for attended in blocks:
            mixed = attended.mean(axis=1) + np.eye(tokens)
            flow = (mixed / mixed.sum(axis=-1, keepdims=True)) @ flow
        source = flow[:, 0] if self.pool == "token" else flow[:, self._prefix_tokens :].mean(axis=1)
        patches = source[:, self._prefix_tokens :]
        patches = patches / np.maximum(patches.sum(axis=1, keepdims=True), 1e-300)
        return np.asarray(patches.reshape(len(windows), *self.grid))


def _prefix(state: Mapping[str, Any]) -> str:
    """Return what stands before the encoder's names."""
    ending = "patch_embed.proj.weight"
    found = [name[: -len(ending)] for name in state if name.endswith(ending)]
    # A momentum or teacher copy is not the encoder that was asked for, where both are there.
    chosen = sorted(found, key=lambda prefix: (bool(re.search(r"momentum|teacher|target|ema", prefix)), len(prefix)))
    if not chosen:
        names = ", ".join(list(state)[:4])
        message = (
            f"the weights are not those of a masked autoencoder's ViT: there is no {ending} among {names} ...; "
            "export the encoder as TorchScript or ONNX"
        )
        raise BundleError(message)
    return chosen[0]


def _heads(width: int, heads: int | None) -> int:
    chosen = heads if heads is not None else width // HEAD_WIDTH
    if chosen < 1 or width % chosen:
        what = f"{heads} heads do not divide" if heads is not None else "one head for each 64 does not divide"
        message = f"{what} a width of {width}; name the number of heads that the encoder was trained with"
        raise ConfigError(message)
    return chosen
