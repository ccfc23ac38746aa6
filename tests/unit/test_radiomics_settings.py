"""Parameter files are read as pyradiomics reads them, and nothing in them is silently ignored."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from imrad.exceptions import ConfigError, InputError
from imrad.radiomics import RadiomicsSettings, feature_names

CONFIGS = Path(__file__).parents[2] / "configs" / "radiomics"


@pytest.mark.parametrize(
    ("name", "number"), [("founding-851", 851), ("founding-1037", 1037), ("ct", 1037), ("mri", 851), ("pet", 107)]
)
def test_shipped_files_give_their_number_of_features(name, number):
    names = feature_names(RadiomicsSettings.from_yaml(CONFIGS / f"{name}.yaml"))
    assert len(names) == len(set(names)) == number


def test_features_per_class():
    names = feature_names()
    counts = {c: sum(f"_{c}_" in n for n in names) for c in ("shape", "firstorder", "glcm", "glrlm", "glszm")}
    counts |= {c: sum(f"_{c}_" in n for n in names) for c in ("ngtdm", "gldm")}
    expected = {"shape": 14, "firstorder": 18, "glcm": 24, "glrlm": 16, "glszm": 16, "ngtdm": 5, "gldm": 14}
    assert counts == expected


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"setting": {"binwidth": 25}}, "did you mean 'binWidth'"),
        ({"setting": {"resampledPixelSpaceing": [1, 1, 1]}}, "did you mean 'resampledPixelSpacing'"),
        ({"settings": {}}, "did you mean 'setting'"),
        ({"imageType": {"wavelet": {}}}, "did you mean 'Wavelet'"),
        ({"imageType": {"LoG": {"sigmas": [1]}}}, "did you mean 'sigma'"),
        ({"imageType": {"LoG": {}}}, "needs sigma"),
        ({"imageType": {"Wavelet": {"resampledPixelSpacing": [1, 1, 1]}}}, "cannot be set for Wavelet alone"),
        ({"featureClass": {"GLCM": []}}, "did you mean 'glcm'"),
        ({"featureClass": {"glcm": ["Contrst"]}}, "did you mean 'Contrast'"),
        ({"featureClass": {"glcm": ["Dissimilarity"]}}, "it equals DifferenceAverage"),
        ({"featureClass": {"shape2D": []}}, "needs force2D"),
        ({"setting": {"kernelRadius": 2}}, "feature maps"),
        ({"setting": {"interpolator": "sitkBspline"}}, "did you mean 'sitkBSpline'"),
        ({"setting": {"wavelet": "coif99"}}, "wavelet 'coif99'"),
        ({"setting": {"binWidth": -1}}, "binWidth"),
        ({"setting": {"distances": [1, 1]}}, "distances"),
        ({"setting": {"weightingNorm": "euclid"}}, "weightingNorm"),
        ({"setting": {"resegmentRange": [1, 2, 3]}}, "one or two thresholds"),
        ({"binWidth": 25}, "belongs under 'setting'"),
        ({"setting": {"ivhBinWidth": 2.5}}, "mode: ibsi"),
        ({"setting": {"mode": "ibsi"}, "imageType": {"Wavelet": {}}}, "original image alone"),
        ({"setting": {"mode": "ibsi", "weightingNorm": "euclidean"}}, "fixes weightingNorm"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, content, words):
    path = tmp_path / "parameters.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError) as caught:
        RadiomicsSettings.from_yaml(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_voxel_settings_are_left_out_with_a_warning(tmp_path):
    path = tmp_path / "parameters.yaml"
    path.write_text("setting: {binWidth: 10}\nvoxelSetting: {kernelRadius: 2}\n")
    with pytest.warns(UserWarning, match="voxelSetting"):
        settings = RadiomicsSettings.from_yaml(path)
    assert settings.binWidth == 10


def test_unreadable_file(tmp_path):
    with pytest.raises(InputError):
        RadiomicsSettings.from_yaml(tmp_path / "none.yaml")
    (tmp_path / "broken.yaml").write_text("setting: [")
    with pytest.raises(InputError):
        RadiomicsSettings.from_yaml(tmp_path / "broken.yaml")


def test_settings_of_one_image_type_win():
    settings = RadiomicsSettings(imageType={"Original": {}, "LoG": {"sigma": [1, 2.5], "binWidth": 5}}, binWidth=30)
    assert settings.for_image("LoG").binWidth == 5
    assert settings.for_image("Original").binWidth == 30
    names = feature_names(settings)
    assert any(name.startswith("log-sigma-1-mm-3D_") for name in names)
    assert any(name.startswith("log-sigma-2-5-mm-3D_") for name in names)


def test_parameters_round_trip():
    settings = RadiomicsSettings(
        imageType={"Original": {}, "Wavelet": {"level": 2}},
        featureClass={"glcm": ["Contrast"], "firstorder": []},
        binCount=32,
        interpolator=2,
        resegmentRange=(0, 100),
    )
    assert settings.interpolator == "sitkLinear"
    assert RadiomicsSettings.from_parameters(settings.to_parameters()) == settings


def test_names_follow_the_file():
    settings = RadiomicsSettings(
        imageType={"Wavelet": {}, "Original": {}}, featureClass={"glcm": ["MCC", "Contrast"], "shape": ["Compactness2"]}
    )
    names = feature_names(settings)
    assert names[0] == "original_shape_Compactness2"
    assert names[1:3] == ["wavelet-LLH_glcm_MCC", "wavelet-LLH_glcm_Contrast"]
    assert names[-1] == "original_glcm_Contrast"


def test_what_pyradiomics_skips_is_left_out_with_a_warning():
    classes = {"shape2D": None, "firstorder": ["Mean"], "glcm": ["Homogeneity1", "Id"]}
    with pytest.warns(UserWarning, match=r"shape2D, which needs force2D: true; glcm Homogeneity1, equal to Id"):
        settings = RadiomicsSettings.from_parameters({"featureClass": classes})
    assert settings.featureClass == {"firstorder": ("Mean",), "glcm": ("Id",)}


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"featureClass": {"glcm": "Contrast"}}, r"glcm needs a list of features, such as \[Contrast\]"),
        ({"setting": {"resampledPixelSpacing": 1}}, r"resampledPixelSpacing: needs a list of numbers, .* not 1"),
        ({"setting": {"distances": 2}}, r"distances: needs a list of numbers"),
    ],
)
def test_a_single_value_for_a_list_is_told_of(parameters, says):
    with pytest.raises(ConfigError, match=says):
        RadiomicsSettings.from_parameters(parameters)
