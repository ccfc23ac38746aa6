"""The items of four checklists, in our words, each with the evidence that would earn it.

References
----------
METRICS: doi:10.1186/s13244-023-01572-w (weights as published). RQS 1.0:
doi:10.1038/nrclinonc.2017.141 (points as published). CLEAR: doi:10.1186/s13244-023-01415-8.
TRIPOD+AI: doi:10.1136/bmj-2023-078378.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CLEAR", "METRICS", "RQS", "TRIPOD_AI", "Item"]


@dataclass(frozen=True)
class Item:
    """One item.

    Attributes
    ----------
    id : str
        Such as ``METRICS-22``.
    group, words : str
        Its part of the checklist, and what it asks for.
    evidence : str
        Name of the evidence that earns it; ``author`` where only a statement of the authors can.
    earned, otherwise : float
        Weight or points with and without it.
    """

    id: str
    group: str
    words: str
    evidence: str
    earned: float = 1.0
    otherwise: float = 0.0


def _items(name: str, lines: str) -> tuple[Item, ...]:
    found = []
    group = ""
    for line in lines.strip().splitlines():
        if line.startswith("# "):
            group = line[2:].strip()
            continue
        number, words, evidence, *points = (part.strip() for part in line.split("|"))
        found.append(Item(f"{name}-{number}", group, words, evidence, *(float(value) for value in points)))
    return tuple(found)


METRICS = _items(
    "METRICS",
    """
# Study design
1 | a radiomics or machine-learning guideline was followed | guideline | 0.0368
2 | eligibility criteria that give a representative sample | author | 0.0735
3 | a good reference standard, clearly defined | author | 0.0919
# Imaging data
4 | images from several centres | several_sites | 0.0438
5 | an image source that clinics can reproduce | author | 0.0292
6 | acquisition protocol with its parameters | protocol | 0.0438
7 | time between image and reference standard | author | 0.0292
# Segmentation
8 | how regions were drawn | author | 0.0337
9 | automatic segmentation formally evaluated | author | 0.0225
10 | test regions drawn by one reader or tool, as in practice | author | 0.0112
# Image processing and features
11 | suitable preprocessing, described | extraction_settings | 0.0622
12 | standardised extraction software | software | 0.0311
13 | extraction parameters reported | extraction_settings | 0.0415
# Feature processing
14 | features that are not robust removed | robust_kept | 0.0200
15 | redundant features removed | redundancy | 0.0200
16 | dimensionality suits the sample size | dimensionality | 0.0300
17 | robustness of end-to-end deep learning | not_deep | 0.0200
# Preparation for modelling
18 | data split without leakage | no_leak | 0.0599
19 | confounders handled | confounders | 0.0300
# Metrics and comparison
20 | metrics that fit the task | discrimination | 0.0352
21 | uncertainty considered | uncertainty | 0.0234
22 | calibration assessed | calibration | 0.0176
23 | one imaging parameter used, or shown to be worse | author | 0.0117
24 | compared with a non-radiomic approach, or added value shown | against_clinical | 0.0293
25 | compared with simple or classical models | against_simple | 0.0176
# Testing
26 | internal testing | internal_test | 0.0375
27 | external testing | external_test | 0.0749
# Open science
28 | data available | author | 0.0075
29 | code available | author | 0.0075
30 | model available | author | 0.0075
""",
)

RQS = _items(
    "RQS",
    """
# RQS 1.0
1 | image protocol documented (one point), public protocol (one more) | protocol | 1
2 | several segmentations or perturbed regions | robustness | 1
3 | phantom study on every scanner | author | 1
4 | images at several time points | author | 1
5 | feature reduction or correction for multiple testing | reduction | 3 | -3
6 | multivariable analysis with non-radiomic variables | against_clinical | 1
7 | biological correlates found and discussed | biology | 1
8 | cut-points: groups by median or continuous risk | cut_points | 1
9 | discrimination with significance (one), resampled (one more) | discrimination | 2
10 | calibration with significance (one), resampled (one more) | calibration | 2
11 | prospective, registered study | author | 7
12 | validation on another data set: none -5, same institute 2, others 3 to 5 | validation | 3 | -5
13 | compared with the gold standard | author | 2
14 | potential clinical use: decision curves | decision_curves | 2
15 | cost-effectiveness | author | 1
16 | open science: scans, regions, code, features (one each) | author | 4
""",
)

CLEAR = _items(
    "CLEAR",
    """
# Title, abstract, introduction
1 | title names the radiomic method | author
2 | structured summary | author
3 | keywords | author
4 | clinical or scientific background | author
5 | why radiomics | author
6 | objectives | author
# Study design
7 | guideline or checklist followed | guideline
8 | ethics: approval, consent, data protection | author
9 | sample size | sample_size
10 | prospective or retrospective | author
11 | eligibility criteria | author
12 | flow chart of the technical pipeline | pipeline
# Data
13 | data source | provenance
14 | overlap with earlier studies | author
15 | how data were split | no_leak
16 | imaging protocol | protocol
17 | non-radiomic predictors defined | clinical_predictors
18 | reference standard or outcome defined | outcome_defined
# Segmentation
19 | segmentation strategy | author
20 | who segmented | author
# Preprocessing
21 | preprocessing | extraction_settings
22 | resampling and its parameters | extraction_settings
23 | discretisation and its parameters | extraction_settings
24 | image types, original and filtered | feature_classes
# Feature extraction
25 | extraction method | extraction_settings
26 | feature classes | feature_classes
27 | number of features | feature_classes
28 | remaining parameters: defaults stated | extraction_settings
# Data preparation
29 | missing data | missing_data
30 | class imbalance | imbalance
31 | reliability of segmentation | robustness
32 | scaling of features | scaling
33 | reduction of dimensions | reduction
# Modelling
34 | algorithms | algorithms
35 | training and tuning | no_leak
36 | confounders | confounders
37 | choice of the model | model_choice
# Evaluation
38 | testing technique | internal_test
39 | performance metrics | discrimination
40 | uncertainty | uncertainty
41 | statistical comparison | comparison
42 | against non-radiomic and combined models | against_clinical
43 | interpretability | explained
# Results
44 | baseline characteristics | baseline
45 | flow chart of eligibility | attrition
46 | statistics of features | feature_statistics
47 | performance of the models | discrimination
48 | non-radiomic and combined results | against_clinical
# Discussion
49 | main findings | author
50 | earlier work | author
51 | practical implications | author
52 | strengths and limitations | author
# Open science
53 | images and segmentations shared | author
54 | radiomic features shared | author
55 | preprocessing scripts or settings shared | author
56 | modelling code shared | author
57 | final model files shared | author
58 | a ready-to-use system shared | author
""",
)

TRIPOD_AI = _items(
    "TRIPOD",
    """
# Title, abstract, introduction
1 | title: model, population, outcome | author
2 | structured abstract | author
3 | background: context, population, inequalities | author
4 | objectives | author
# Methods
5 | data sources and dates | provenance
6 | participants: setting, eligibility, treatments | author
7 | data preparation | preparation
8 | outcome, its horizon and its assessment | outcome_defined
9 | predictors, their choice and measurement | clinical_predictors
10 | sample size | sample_size
11 | missing data | missing_data
12 | analysis: use of data, predictors, model, heterogeneity, measures | analysis
13 | class imbalance | imbalance
14 | fairness | fairness
15 | what the model puts out | output
16 | training against evaluation data | no_leak
17 | ethical approval | author
# Open science
18 | funding, conflicts, protocol, registration, data, code | author
# Patient and public involvement
19 | patient and public involvement | author
# Results
20 | participants: flow, characteristics, development against evaluation | participants
21 | numbers of patients and events in each analysis | counts
22 | full model, to predict for a new patient | specification
23 | performance with intervals, and in subgroups | performance
24 | updating, where done | updating
# Discussion
25 | interpretation, fairness included | author
26 | limitations | author
27 | use: poor inputs, expertise, next steps | author
""",
)
