"""Feature vectors from a user's own network: (volume, mask or centre) to a vector, with the digest of the weights.

Torch is the extra ``deep``; an ONNX encoder needs onnxruntime instead. Nothing here is trained.
"""

from __future__ import annotations

from imrad.radiomics.deep.cases import DeepExtraction, DeepSettings, average_phases, extract_deep, read_deep_cases
from imrad.radiomics.deep.encoders import Encoder, load_encoder
from imrad.radiomics.deep.ready_maps import draw_map, read_map, read_maps_table

__all__ = [
    "DeepExtraction",
    "DeepSettings",
    "Encoder",
    "average_phases",
    "draw_map",
    "extract_deep",
    "load_encoder",
    "read_deep_cases",
    "read_map",
    "read_maps_table",
]
