"""Weights as tensors and nothing else: reading a checkpoint executes no code."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imrad.exceptions import BundleError, InputError, MissingExtraError

__all__ = ["need_torch", "read_state"]

NESTED = ("state_dict", "model", "model_state_dict", "teacher", "student")
"""Where checkpoints keep the weights beside optimiser and epoch."""

_SAFETENSORS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


def need_torch() -> Any:
    """Return torch.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        import torch
    except ImportError as error:
        message = "engine 'deep' needs the extra 'deep': pip install torch==2.13.0 (the CPU build is enough)"
        raise MissingExtraError(message) from error
    return torch


def read_state(path: Path) -> dict[str, Any]:
    """Read the tensors of a checkpoint (.pt, .pth, .ckpt, .safetensors) by name.

    Raises
    ------
    BundleError
        If the file holds code or objects beside tensors, or is damaged.
    InputError
        If there are no tensors in it.
    """
    state = _safetensors(path) if path.suffix.lower() == ".safetensors" else _checkpoint(path)
    torch = need_torch()
    tensors = {str(name): value for name, value in state.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        held = ", ".join(str(name) for name in list(state)[:5]) or "nothing"
        message = f"{path} holds no weights by name but {held}; give a checkpoint with a state dict"
        raise InputError(message)
    return tensors


def _checkpoint(path: Path) -> Mapping[str, Any]:
    torch = need_torch()
    try:
        # Published checkpoints often keep their command line beside the weights; a Namespace is plain values.
        with torch.serialization.safe_globals([argparse.Namespace]):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, KeyError, OSError, AttributeError) as error:
        message = f"{path} is no readable checkpoint ({_first(error)}); download it again"
        raise BundleError(message) from error
    except Exception as error:
        # Torch refuses whatever is no tensor with pickle's own error.
        message = (
            f"{path} holds more than tensors, so it was not opened (loading it could execute code); "
            "save its state dict alone, or as .safetensors"
        )
        raise BundleError(message) from error
    for _ in range(2):
        if not isinstance(found, Mapping):
            break
        inner = next((found[name] for name in NESTED if isinstance(found.get(name), Mapping)), None)
        if inner is None:
            break
        found = inner
    if not isinstance(found, Mapping):
        message = f"{path} holds a {type(found).__name__}, not weights by name; give a checkpoint with a state dict"
        raise InputError(message)
    return found


def _safetensors(path: Path) -> dict[str, Any]:
    """Read a .safetensors file: the length of a JSON header, the header, and the tensors' bytes."""
    torch = need_torch()
    raw = path.read_bytes()
    try:
        length = int.from_bytes(raw[:8], "little")
        header = json.loads(raw[8 : 8 + length])
        kinds = {
            **{"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16},
            **{"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8},
            **{"U8": torch.uint8, "BOOL": torch.bool},
        }
        body = bytearray(raw[8 + length :])
        out = {}
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            first, last = (int(at) for at in entry["data_offsets"])
            shape = [int(n) for n in entry["shape"]]
            expected = math.prod(shape) * _SAFETENSORS[entry["dtype"]]
            if not 0 <= first <= last <= len(body) or last - first != expected or min(shape, default=1) < 0:
                message = f"{name} lies outside the file"
                raise ValueError(message)
            kind = kinds[entry["dtype"]]
            flat = torch.frombuffer(body, dtype=kind, offset=first, count=math.prod(shape)) if expected else None
            out[str(name)] = (torch.zeros(shape, dtype=kind) if flat is None else flat.reshape(shape)).clone()
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        message = f"{path} is no readable .safetensors file ({_first(error)}); download it again"
        raise BundleError(message) from error
    return out


def _first(error: BaseException) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
