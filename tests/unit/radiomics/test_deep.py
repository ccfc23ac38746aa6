"""The deep adapter, with small networks made here: names and shapes, safety, what a window sees, phases, maps."""

from __future__ import annotations

import argparse
import json
import os
import struct
import warnings

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from imrad.exceptions import BundleError, ConfigError, InputError, MissingExtraError
from imrad.radiomics.deep import DeepSettings, extract_deep, load_encoder, read_deep_cases
from imrad.radiomics.deep.maps import picture, write_overlay
from imrad.radiomics.deep.windows import cut, place_windows
from imrad.radiomics.images import open_image

torch = pytest.importorskip("torch", reason="needs the extra 'deep' (torch)")
nn = torch.nn

WIDTH, DEPTH, HEADS, PATCH, GRID = 24, 2, 4, 4, 3


class Block(nn.Module):
    """A pre-norm block by torch's own attention: an implementation of its own."""

    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH, eps=1e-6), nn.LayerNorm(WIDTH, eps=1e-6)
        self.attn = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.fc1, self.fc2 = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(3 * WIDTH, WIDTH)

    def forward(self, x):
        y = self.norm1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        return x + self.fc2(nn.functional.gelu(self.fc1(self.norm2(x))))


class Small(nn.Module):
    """A masked autoencoder's encoder as a plain module."""

    def __init__(self):
        super().__init__()
        self.proj = nn.Conv3d(1, WIDTH, PATCH, PATCH)
        self.token = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.places = nn.Parameter(torch.randn(1, GRID**3 + 1, WIDTH))
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.norm = nn.LayerNorm(WIDTH, eps=1e-6)

    def forward(self, x):
        x = self.proj(x).flatten(2).transpose(1, 2)
        x = torch.cat((self.token.expand(len(x), 1, WIDTH), x), dim=1) + self.places
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, 0]

    def published(self, prefix=""):
        """Return the weights under the names of a published checkpoint."""
        state = {"cls_token": self.token, "pos_embed": self.places, "mask_token": torch.zeros(1, 1, WIDTH)}
        state |= {f"patch_embed.proj.{name}": value for name, value in self.proj.named_parameters()}
        state |= {f"norm.{name}": value for name, value in self.norm.named_parameters()}
        state["decoder_embed.weight"] = torch.zeros(5, WIDTH)
        for number, block in enumerate(self.blocks):
            for name, value in block.named_parameters():
                to = {"attn.in_proj_weight": "attn.qkv.weight", "attn.in_proj_bias": "attn.qkv.bias"}
                to |= {"attn.out_proj.weight": "attn.proj.weight", "attn.out_proj.bias": "attn.proj.bias"}
                mlp = f"mlp.{name}" if name.startswith("fc") else name
                state[f"blocks.{number}.{to.get(name, mlp)}"] = value
        return {f"{prefix}{name}": value.detach().clone() for name, value in state.items()}


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(7)
    return Small().eval()


@pytest.fixture
def weights(small, tmp_path):
    path = tmp_path / "mae.pth"
    torch.save({"model": small.published(), "epoch": 3, "args": argparse.Namespace(lr=0.1)}, path)
    return path


def windows(n=3, seed=1):
    return np.random.default_rng(seed).standard_normal((n, 12, 12, 12)).astype(np.float32)


def expected(small, x):
    with torch.inference_mode():
        return small(torch.from_numpy(x[:, None])).double().numpy()


def test_a_checkpoint_of_any_size_gives_the_vectors_of_its_own_network(small, weights, tmp_path):
    encoder = load_encoder(weights, heads=HEADS)
    assert (encoder.kind, encoder.window, len(encoder.digest)) == ("vit", (12, 12, 12), 64)
    np.testing.assert_allclose(encoder.vectors(windows()), expected(small, windows()), atol=2e-6)
    # FM-LCT keeps its encoder beside a momentum copy, under base_encoder.
    state = small.published("module.base_encoder.")
    state |= {name: torch.zeros_like(value) for name, value in small.published("module.momentum_encoder.").items()}
    torch.save({"state_dict": state}, tmp_path / "moco.pth.tar")
    second = load_encoder(tmp_path / "moco.pth.tar", heads=HEADS)
    np.testing.assert_array_equal(second.vectors(windows()), encoder.vectors(windows()))
    assert second.digest != encoder.digest
    mean = load_encoder(weights, heads=HEADS, pool="mean").vectors(windows())
    assert not np.allclose(mean, encoder.vectors(windows()))


def trace(module, path):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
        torch.jit.trace(module, torch.zeros(1, 1, 12, 12, 12)).save(str(path))


def save_safetensors(path, state, change=None):
    header, body = {}, b""
    for name, value in state.items():
        raw = value.numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [len(body), len(body) + len(raw)]}
        body += raw
    if change:
        change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def test_safetensors_and_torchscript_agree_with_the_checkpoint(small, weights, tmp_path):
    plain = load_encoder(weights, heads=HEADS).vectors(windows())
    save_safetensors(tmp_path / "mae.safetensors", small.published())
    found = load_encoder(tmp_path / "mae.safetensors", heads=HEADS).vectors(windows())
    np.testing.assert_array_equal(found, plain)
    save_safetensors(
        tmp_path / "short.safetensors",
        small.published(),
        lambda header: header["pos_embed"].update(data_offsets=[0, 10**9]),
    )
    with pytest.raises(BundleError, match="safetensors"):
        load_encoder(tmp_path / "short.safetensors")

    class Map(nn.Module):
        """A feature map, which is averaged."""

        def __init__(self):
            super().__init__()
            self.conv = nn.Conv3d(1, 5, 3)

        def forward(self, x):
            return self.conv(x)

    module = Map().eval()
    trace(module, tmp_path / "map.pt")
    encoder = load_encoder(tmp_path / "map.pt", window=(12, 12, 12))
    with torch.inference_mode():
        wanted = module(torch.from_numpy(windows()[:, None])).mean(dim=(2, 3, 4)).double().numpy()
    assert encoder.kind == "torchscript"
    np.testing.assert_allclose(encoder.vectors(windows()), wanted, atol=1e-6)


def test_an_onnx_encoder_agrees(tmp_path):
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    onnx = pytest.importorskip("onnx", reason="needs onnx to make a graph")
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((512, 6)).astype(np.float32)
    nodes = [onnx.helper.make_node("Flatten", ["x"], ["flat"]), onnx.helper.make_node("MatMul", ["flat", "w"], ["y"])]
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes,
        "encoder",
        [value("x", onnx.TensorProto.FLOAT, ["n", 1, 8, 8, 8])],
        [value("y", onnx.TensorProto.FLOAT, ["n", 6])],
        [onnx.numpy_helper.from_array(matrix, "w")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(tmp_path / "encoder.onnx"))
    encoder = load_encoder(tmp_path / "encoder.onnx")
    assert encoder.window == (8, 8, 8)
    x = rng.standard_normal((2, 8, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(encoder.vectors(x), x.reshape(2, -1) @ matrix, rtol=1e-4, atol=1e-4)
    (tmp_path / "broken.onnx").write_bytes(b"\x08\x01nothing")
    with pytest.raises(BundleError, match="no readable ONNX"):
        load_encoder(tmp_path / "broken.onnx")
    with pytest.raises(ConfigError, match="takes windows of"):
        load_encoder(tmp_path / "encoder.onnx", window=(9, 9, 9))


class Bomb:
    def __reduce__(self):
        return os.mkdir, (os.environ["IMRAD_BOMB"],)


def test_code_in_a_checkpoint_is_never_executed(small, tmp_path, monkeypatch):
    monkeypatch.setenv("IMRAD_BOMB", str(tmp_path / "exploded"))
    torch.save({"state_dict": small.published(), "extra": Bomb()}, tmp_path / "bomb.pth")
    with pytest.raises(BundleError, match="more than tensors"):
        load_encoder(tmp_path / "bomb.pth")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("change", "options", "kind", "message"),
    [
        (lambda s: s.pop("pos_embed"), {}, BundleError, "lack pos_embed"),
        (lambda s: s.pop("blocks.1.mlp.fc2.bias"), {}, BundleError, r"lack blocks.1.mlp.fc2.bias"),
        (lambda s: s.update({"blocks.0.ls1.gamma": torch.ones(WIDTH)}), {}, BundleError, r"hold blocks.0.ls1.gamma"),
        (lambda s: s.update({"norm.weight": torch.ones(3)}), {}, BundleError, r"norm.weight are 3 where 24"),
        (lambda s: s.update({"norm.bias": torch.full((WIDTH,), np.nan)}), {}, BundleError, "not finite"),
        (lambda s: s.update({"patch_embed.proj.weight": torch.ones(WIDTH, 3, 4, 4)}), {}, BundleError, "2-dimension"),
        (lambda s: s.update({"patch_embed.proj.weight": torch.ones(WIDTH, 2, 4, 4, 4)}), {}, BundleError, "2 channels"),
        (lambda s: s.clear(), {}, (BundleError, InputError), "no weights by name"),
        (lambda s: None, {"heads": 5}, ConfigError, "5 heads do not divide"),
        (lambda s: None, {"heads": None}, ConfigError, "name the number of heads"),
        (lambda s: None, {"window": (16, 16, 16)}, ConfigError, "name the window"),
    ],
)
def test_weights_of_another_architecture_are_refused_by_name(small, tmp_path, change, options, kind, message):
    state = small.published()
    change(state)
    torch.save(state, tmp_path / "odd.pth")
    with pytest.raises(kind, match=message):
        load_encoder(tmp_path / "odd.pth", **{"heads": HEADS, **options})


def test_damaged_and_other_files_are_refused(weights, tmp_path):
    (tmp_path / "half.pth").write_bytes(weights.read_bytes()[:2000])
    (tmp_path / "text.pth").write_text("no weights")
    (tmp_path / "weights.doc").write_text("no weights")
    for name in ("half.pth", "text.pth"):
        with pytest.raises(BundleError):
            load_encoder(tmp_path / name)
    with pytest.raises(InputError, match="no known kind"):
        load_encoder(tmp_path / "weights.doc")
    with pytest.raises(InputError, match="is not there"):
        load_encoder(tmp_path / "none.pth")
    with pytest.raises(BundleError, match="other weights"):
        load_encoder(weights, heads=HEADS, digest="0" * 64)


def test_without_torch_there_is_one_sentence(weights, monkeypatch):
    import builtins

    real = builtins.__import__

    def without(name, *rest, **named):
        if name == "torch":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"^engine 'deep' needs the extra 'deep'[^.]*\.13\.0[^.]*$"):
        load_encoder(weights)


def ct(path, shape=(14, 30, 32), spacing=(1.5, 1.5, 2.0), seed=0, flip=False):
    """Write a smooth volume and a mask; `flip` stores the same patient with the opposite axes."""
    z, y, x = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    rng = np.random.default_rng(seed)
    values = -50 + 80 * np.sin(x / 5 + seed) + 60 * np.cos(y / 4) + 5 * z + rng.normal(0, 2, shape)
    mask = ((x - 15) ** 2 + (y - 14) ** 2 + 3 * (z - 7) ** 2 < 40).astype(np.uint8)
    for name, array in (("ct", values.astype(np.float32)), ("mask", mask)):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(spacing)
        image.SetOrigin((-20.0, 10.0, 5.0))
        if flip:
            image = sitk.Flip(image, (True, True, False))
        sitk.WriteImage(image, str(path / f"{name}_{seed}{'_f' if flip else ''}.nii.gz"))


@pytest.fixture
def ward(tmp_path):
    for seed in range(3):
        ct(tmp_path, seed=seed)
    ct(tmp_path, seed=0, flip=True)
    return tmp_path


def test_a_vector_does_not_depend_on_how_the_volume_is_stored(ward, weights):
    rows = [("A", "ct_0.nii.gz", "mask_0.nii.gz"), ("B", "ct_0_f.nii.gz", "mask_0_f.nii.gz")]
    pd.DataFrame(rows, columns=["patient", "image", "mask"]).to_csv(ward / "cases.csv", index=False)
    found = extract_deep(read_deep_cases(ward / "cases.csv"), weights, DeepSettings(heads=HEADS))
    assert found.failures.empty
    first, second = found.features.drop(columns=["patient", "case"]).to_numpy()
    assert len(first) == WIDTH
    np.testing.assert_allclose(first, second, atol=1e-4)
    assert found.about["digest"] == load_encoder(weights, heads=HEADS).digest
    grey, heat, outline = found.maps["A", "A"]
    assert grey.shape == heat.shape == outline.shape == (96, 96)
    assert heat.max() > 0
    assert outline.any()


def test_phases_are_averaged_and_failures_are_rows(ward, weights):
    rows = [
        ("A", "ct_0.nii.gz", "mask_0.nii.gz", "plain"),
        ("A", "ct_1.nii.gz", "mask_1.nii.gz", "contrast"),
        ("B", "ct_2.nii.gz", "mask_2.nii.gz", "plain"),
        ("C", "ct_9.nii.gz", "mask_2.nii.gz", "plain"),
    ]
    pd.DataFrame(rows, columns=["patient", "image", "mask", "phase"]).to_csv(ward / "cases.csv", index=False)
    cases = read_deep_cases(ward / "cases.csv")
    single = extract_deep(cases, weights, DeepSettings(heads=HEADS, phases="rows", maps=0)).features
    mean = extract_deep(cases, weights, DeepSettings(heads=HEADS, maps=0))
    assert single["phase"].tolist() == ["plain", "contrast", "plain"]
    assert mean.features["patient"].tolist() == ["A", "B"]
    assert mean.features["phase"].tolist() == ["plain+contrast", "plain"]
    names = [name for name in single.columns if name.startswith("deep_")]
    np.testing.assert_allclose(mean.features.loc[0, names].astype(float), single.loc[[0, 1], names].mean(), atol=1e-12)
    assert mean.failures["patient"].tolist() == ["C"]
    assert "does not exist" in mean.failures["reason"].iloc[0]
    assert not mean.maps


def test_a_centre_sees_what_the_mask_around_it_sees(ward, weights):
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(ward / "mask_0.nii.gz")))
    ends = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in (2, 1, 0)]
    middle = [(end[0] + end[-1]) / 2 for end in ends]
    image = sitk.ReadImage(str(ward / "ct_0.nii.gz"))
    point = image.TransformContinuousIndexToPhysicalPoint(middle)
    rows = [{"patient": "A", "image": "ct_0.nii.gz", "mask": "mask_0.nii.gz"}]
    named = dict(zip(("centre_x_mm", "centre_y_mm", "centre_z_mm"), point, strict=True))
    rows += [{"patient": "B", "image": "ct_0.nii.gz", **named}, {"patient": "C", "image": "ct_0.nii.gz"}]
    rows += [{"patient": "D", "image": "ct_0.nii.gz", "centre_x_mm": 1}]
    rows += [{"patient": "E", "image": "ct_0.nii.gz", **dict.fromkeys(named, 4000.0)}]
    pd.DataFrame(rows).to_csv(ward / "cases.csv", index=False)
    settings = DeepSettings(heads=HEADS, view="centre", maps=0)
    found = extract_deep(read_deep_cases(ward / "cases.csv"), weights, settings)
    assert found.features["patient"].tolist() == ["A", "B", "C"]
    vectors = found.features.drop(columns=["patient", "case"]).to_numpy(dtype=float)
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)
    reasons = dict(zip(found.failures["patient"], found.failures["reason"], strict=True))
    assert "1 of three centre columns" in reasons["D"]
    assert "outside the image" in reasons["E"]


def test_a_window_cut_from_slices_equals_one_cut_from_the_whole_volume(ward):
    image = open_image(ward / "ct_0.nii.gz")
    low, high = np.array([-10.0, 20.0, 9.0]), np.array([14.0, 44.0, 25.0])
    places = place_windows(low, high, (8, 8, 8), (1.0, 1.0, 1.0), "windows")
    assert len(places) == 4 * 4 * 3
    corners = np.concatenate([place.corners_mm for place in places])
    np.testing.assert_allclose([corners.min(axis=0), corners.max(axis=0)], [low, high])
    whole = image.read()
    for place, window in zip(places, cut(image, places), strict=True):
        plain = sitk.Resample(
            sitk.Cast(whole, sitk.sitkFloat32),
            list(place.size),
            sitk.Transform(3, sitk.sitkIdentity),
            sitk.sitkBSpline,
            list(place.origin_mm),
            list(place.spacing_mm),
        )
        np.testing.assert_allclose(window, sitk.GetArrayFromImage(plain), atol=1e-3)


def test_relevance_is_where_the_vector_comes_from(tmp_path):
    class Corner(nn.Module):
        """Looks at one corner of the window alone."""

        def forward(self, x):
            return x[:, 0, :2, :2, :2].flatten(1)

    trace(Corner(), tmp_path / "corner.pt")
    encoder = load_encoder(tmp_path / "corner.pt", window=(12, 12, 12))
    window = windows(1)[0]
    cells = encoder.relevance(window)
    assert cells.shape == (6, 6, 6)
    assert cells[0, 0, 0] == pytest.approx(1.0)
    grey, heat, outline = picture(window, cells, size=24)
    assert heat[0, 0] == 255
    assert heat[12:, 12:].max() == 0
    write_overlay(tmp_path / "A.png", grey, heat, outline)
    assert sitk.ReadImage(str(tmp_path / "A.png")).GetSize() == (48, 24)


def test_a_run_on_vectors_is_exported_and_applied_with_the_same_weights_only(weights, small, tmp_path):
    from imrad import stages
    from imrad.config import Config
    from imrad.datasets import make_cohort, write_images
    from imrad.run import Run
    from imrad.stages.applying import apply
    from imrad.stages.exporting import export

    truth = make_cohort(30, n_features=24, n_targets=1, image_effect=2.0, survival_effect=1.0, seed=3)
    paths = write_images(truth, tmp_path / "in", kinds=("nifti",), shape=(8, 20, 20), seed=3)
    config = Config(
        name="vectors",
        extract={
            **{"cases": str(paths["cases"]), "engine": "deep", "weights": str(weights)},
            "deep": {"heads": HEADS, "view": "centre", "maps": 16},
        },
        assemble={
            "splits": {"repeats": 1},
            "clinical": str(paths["clinical"]),
            "endpoints": {"os": "os_days,os_event"},
        },
        fuse={"endpoints": ["os"], "n_bootstrap": 0},
    )
    run = stages.run_all(Run(tmp_path / "run", config, tmp_path))
    assert run.has("extract/relevance.zip")
    assert stages.extract(run) == ["nothing to do"]
    export(run, tmp_path / "model.imrad")
    place = {"cases": paths["cases"], "clinical": paths["clinical"]}
    apply(tmp_path / "model.imrad", None, tmp_path / "images", **place, weights=weights)
    apply(tmp_path / "model.imrad", run.folder / "cohort.h5ad", tmp_path / "cohort")
    first, second = (
        pd.read_csv(tmp_path / name / "external/os/risk.csv", float_precision="round_trip")["risk"]
        for name in ("images", "cohort")
    )
    np.testing.assert_allclose(first, second, rtol=0, atol=1e-12)
    with pytest.raises(ConfigError, match="--weights"):
        apply(tmp_path / "model.imrad", None, tmp_path / "no", **place)
    state = small.published()
    state["cls_token"] = state["cls_token"] + 1e-6
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(BundleError, match="other weights"):
        apply(tmp_path / "model.imrad", None, tmp_path / "no", **place, weights=tmp_path / "other.pth")
