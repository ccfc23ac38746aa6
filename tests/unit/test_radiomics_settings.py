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
        ({"imageType": {"Wavelet": {"label": 2}}}, "cannot be set for Wavelet alone"),
        ({"imageType": {"Wavelet": {"mode": "ibsi"}}}, "cannot be set for Wavelet alone"),
        ({"imageType": {"Wavelet": "haar"}}, "imageType Wavelet needs settings by name"),
        ({"imageType": ["Original"]}, "imageType must name"),
        ({"featureClass": {"glcm": 5}}, "featureClass glcm needs a list"),
        ({"setting": [25]}, "setting needs keys with values"),
        ({"setting": {"binWidth": float("inf")}}, "binWidth: input should be a finite number, not inf"),
        ({"setting": {"label": 0}}, "label: input should be greater than or equal to 1, not 0"),
        ({"setting": {"resampledPixelSpacing": [1, 1]}}, "resampledPixelSpacing: needs three numbers"),
        ({"setting": {"resampledPixelSpacing": [1, 1, 1, 1]}}, "resampledPixelSpacing: needs three numbers"),
        ({"setting": {"voxelBased": True}}, "feature maps"),
        ({"voxelSetting": {"kernelRadiu": 2}}, "did you mean 'kernelRadius'"),
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
    for content, words in [
        (b"setting: [", "cannot be read"),
        (b"# nothing yet", "holds no settings"),
        (b"setting: {binWidth: 10, binWidth: 20}", "'binWidth' stands twice, again in line 1"),
        (b"setting: {binWidth: 10} # \xb0", "not UTF-8"),
    ]:
        (tmp_path / "broken.yaml").write_bytes(content)
        with pytest.raises(InputError, match=words):
            RadiomicsSettings.from_yaml(tmp_path / "broken.yaml")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tabs.json", '{\n\t"setting": {"binWidth": 10}, "featureClass": {"glcm": null, "firstorder": []}}'),
        ("mark.yaml", "\ufeffsetting: {binWidth: 1.0e+1}\nfeatureClass: {glcm: , firstorder: {}}"),
        (
            "anchors.yaml",
            "setting: &s\n  binWidth: 10\n  label: 1\nimageType:\n  Original: {<<: *s}\nfeatureClass:\n"
            "  glcm: # all\n  firstorder: []\n",
        ),
    ],
)
def test_the_same_settings_in_other_clothes(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    settings = RadiomicsSettings.from_yaml(tmp_path / name)
    assert settings.for_image("Original").binWidth == 10
    assert settings.featureClass == {"glcm": (), "firstorder": ()}


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
    ("parameters", "told"),
    [
        ({"imageType": {"Original": {}, "LoG": {}}}, "LoG, which names no sigma"),
        ({"imageType": {"Original": {"preCrop": True}}}, "preCrop of Original alone, for it acts before the filters"),
        ({"imageType": {"Original": None}, "setting": {"enableCExtensions": True}}, "enableCExtensions, which"),
    ],
)
def test_what_does_nothing_in_pyradiomics_is_left_out_with_a_warning(parameters, told):
    with pytest.warns(UserWarning, match=told):
        settings = RadiomicsSettings.from_parameters(parameters)
    assert settings == RadiomicsSettings()


def test_a_class_of_which_nothing_has_a_value_is_left_out():
    with pytest.warns(UserWarning, match="glcm SumVariance, equal to ClusterTendency"):
        settings = RadiomicsSettings.from_parameters({"featureClass": {"glcm": ["SumVariance"], "shape": []}})
    assert settings.featureClass == {"shape": ()}


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
