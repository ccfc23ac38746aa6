"""Maps of relevance that come with ready-made vectors: drawn as computed ones are, and refused in one sentence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from imrad.exceptions import DuplicateError, GeometryError, ImageError, ImradError, InputError
from imrad.radiomics.deep import draw_map, read_map, read_maps_table
from imrad.radiomics.deep.maps import picture

SHAPE = (6, 48, 48)


@pytest.fixture
def volume():
    rng = np.random.default_rng(0)
    image = rng.normal(0, 20, SHAPE).astype(np.float32)
    region = np.zeros(SHAPE, dtype=bool)
    region[2:5, 20:28, 22:30] = True
    region[3, 18:30, 20:32] = True
    heat = np.where(region, rng.uniform(0.2, 0.9, SHAPE), 0.05)
    return image, heat, region


def write(path, array, *, origin=(0.0, 0.0, 0.0)):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((1.0, 1.0, 3.0))
    image.SetOrigin(origin)
    sitk.WriteImage(image, str(path))
    return str(path)


def test_the_same_map_is_drawn_the_same_from_arrays_files_and_the_encoders_code(volume, tmp_path):
    image, heat, region = volume
    drawn = draw_map(image, heat, region, size=48)
    np.save(tmp_path / "heat.npy", heat)
    np.save(tmp_path / "ct.npy", image)
    np.save(tmp_path / "mask.npy", region)
    as_files = {
        "image": write(tmp_path / "ct.nii.gz", image),
        "mask": write(tmp_path / "mask.nii.gz", region.astype(np.uint8)),
        "map": write(tmp_path / "heat.nii.gz", heat),
    }
    as_arrays = {
        name: str(tmp_path / f"{stem}.npy") for name, stem in (("image", "ct"), ("map", "heat"), ("mask", "mask"))
    }
    for item in (as_files, as_arrays, as_files | {"map": str(tmp_path / "heat.npy")}):
        for one, two in zip(read_map(item, size=48), drawn, strict=True):
            np.testing.assert_array_equal(one, two)
    # Where the whole window is shown, the encoder's own pictures are these.
    small = (slice(None), slice(6, 42), slice(8, 44))
    for one, two in zip(
        picture(image[small], heat[small], region[small], size=36),
        draw_map(image[small], heat[small], region[small], size=36),
        strict=True,
    ):
        np.testing.assert_array_equal(one, two)


def test_the_slice_is_the_regions_and_cut_around_it(volume):
    image, heat, region = volume
    grey, shown, rim = draw_map(image, heat, region, size=36)
    assert rim[12:24, 12:24].sum() == rim.sum() == 44
    assert shown.max() == np.rint(255 * heat[3].max() / heat.max())
    whole = draw_map(image, heat, None, size=48)
    assert not whole[2].any()
    assert int(heat.sum(axis=(1, 2)).argmax()) == 3
    np.testing.assert_array_equal(whole[1], np.rint(255 * heat[3] / heat.max()))
    assert grey.dtype == np.uint8


def test_a_coarse_map_is_interpolated_and_a_slice_is_enough(volume):
    image, _, region = volume
    cells = np.zeros((2, 6, 6))
    cells[1, 3, 3] = 1.0
    heat = draw_map(image, cells, None, size=48)[1]
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert 24 <= row < 32
    assert 24 <= column < 32
    flat = draw_map(image[3], cells[1], region[3], size=48)
    assert flat[0].shape == (48, 48)
    wide = draw_map(image[3][:20], np.ones((20, 48)), None, size=48)
    assert wide[1][:10].max() == 0
    assert wide[1][20].min() == 255


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda heat: heat.T, "shape 48 x 48 x 6 on an image of 6 x 48 x 48"),
        (lambda heat: heat[:, :31], "or coarser by whole factors"),
        (lambda heat: np.where(heat > 0.5, np.nan, heat), "no finite numbers"),
        (lambda heat: heat * 255, "scale the map to \\[0, 1\\]"),
        (lambda heat: heat - 0.5, "holds values from -0.45"),
        (lambda heat: heat * 0, "zero everywhere"),
        (lambda heat: heat[None], "give numbers"),
        (lambda heat: heat.astype(complex), "give numbers"),
    ],
)
def test_a_map_that_is_none_is_refused_with_the_numbers(volume, change, said):
    image, heat, region = volume
    with pytest.raises(ImageError, match=said):
        draw_map(image, change(heat), region)


def test_image_and_mask_are_checked_too(volume, tmp_path, monkeypatch):
    image, heat, region = volume
    with pytest.raises(ImageError, match="the mask of the map has the shape 6 x 48 x 47"):
        draw_map(image, heat, region[:, :, 1:])
    image[3, 0, 0] = np.inf
    with pytest.raises(ImageError, match="the image of the map holds values"):
        draw_map(image, heat, region)
    np.save(tmp_path / "heat.npy", heat)
    np.save(tmp_path / "bomb.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (tmp_path / "text.npy").write_text("no array")
    np.savez(tmp_path / "many.npz", heat)
    (tmp_path / "many.npz").rename(tmp_path / "many.npy")
    good = {"image": write(tmp_path / "ct.nii.gz", np.zeros(SHAPE, np.float32)), "map": str(tmp_path / "heat.npy")}
    for name in ("bomb", "text", "many"):
        with pytest.raises(InputError, match=name):
            read_map(good | {"map": str(tmp_path / f"{name}.npy")})
    with pytest.raises(GeometryError, match="voxels off"):
        read_map(good | {"map": write(tmp_path / "off.nii.gz", heat, origin=(4.0, 0.0, 0.0))})
    with pytest.raises(GeometryError, match="6 x 48 x 24 voxels on 6 x 48 x 48"):
        read_map(good | {"map": write(tmp_path / "half.nii.gz", heat[:, :, ::2])})
    np.save(tmp_path / "ct.npy", np.zeros(SHAPE))
    with pytest.raises(InputError, match="its image is an array"):
        read_map({"image": str(tmp_path / "ct.npy"), "map": str(tmp_path / "heat.npy"), "mask": good["image"]})
    monkeypatch.setattr("imrad.radiomics.deep.ready_maps.MOST_VOXELS", 1000)
    with pytest.raises(ImradError, match="1000 are allowed"):
        read_map(good)
    with pytest.raises(ImageError, match="1000 are allowed"):
        draw_map(image, heat)


def test_a_table_of_maps_is_checked_before_anything_is_read(tmp_path):
    for name in ("a.npy", "b.npy"):
        np.save(tmp_path / name, np.ones((2, 2)))
    path = tmp_path / "maps.csv"

    def table(**columns):
        pd.DataFrame(columns).to_csv(path, index=False)
        return read_maps_table(path)

    found = table(Patient=["001", "002"], image=["a.npy", "a.npy"], map=["b.npy", "b.npy"])
    assert found["case"].tolist() == ["001", "002"]
    assert found["map"].tolist() == [str(tmp_path / "b.npy")] * 2
    with pytest.raises(InputError, match="lacks the column map"):
        table(patient=["1"], image=["a.npy"])
    with pytest.raises(InputError, match="in every row"):
        table(patient=["1", "2"], image=["a.npy", ""], map=["b.npy", "b.npy"])
    with pytest.raises(DuplicateError, match="several rows for the case 1"):
        table(patient=["1", "1"], image=["a.npy"] * 2, map=["b.npy"] * 2)
    with pytest.raises(InputError, match=r"1 files of the column map do not exist, the first being .*c\.npy"):
        table(patient=["1", "2"], image=["a.npy"] * 2, map=["b.npy", "c.npy"])
