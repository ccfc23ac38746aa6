"""A small made-up world behind real index rows: what the services would hold of a few real patients.

The index rows are real (`index_rows.csv.gz`: idc-index-data 25.0.5; 12 TCGA-KIRC patients with RCC-AID,
two with BAMF-AIMI only, one without, two of CPTAC-CCRCC, one of NSCLC-Radiomics); every image, table and
record is generated from the patient's name, so that two servers of one world serve the same bytes.

Volumes are small, but have plausible attenuation: air, fat, muscle, an enhanced kidney, a tumour with
texture, a cyst; large enough for radiomics of the tumour.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import threading
import uuid
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import ExplicitVRLittleEndian

HERE = Path(__file__).parent
DEFLATED = "1.2.840.10008.1.2.1.99"
CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
PIXEL_MM, SLICE_MM = 4.0, 5.0
CELLS = [
    "B.cells.naive",
    "B.cells.memory",
    "Plasma.cells",
    "T.cells.CD8",
    "T.cells.CD4.naive",
    "T.cells.CD4.memory.resting",
    "T.cells.CD4.memory.activated",
    "T.cells.follicular.helper",
    "T.cells.regulatory..Tregs.",
    "T.cells.gamma.delta",
    "NK.cells.resting",
    "NK.cells.activated",
    "Monocytes",
    "Macrophages.M0",
    "Macrophages.M1",
    "Macrophages.M2",
    "Dendritic.cells.resting",
    "Dendritic.cells.activated",
    "Mast.cells.resting",
    "Mast.cells.activated",
    "Eosinophils",
    "Neutrophils",
]
GENES = (
    ("ENSG00000188389.10", "PDCD1"), ("ENSG00000163599.17", "CTLA4"), ("ENSG00000089692.9", "LAG3"),
    ("ENSG00000135077.9", "HAVCR2"), ("ENSG00000181847.12", "TIGIT"), ("ENSG00000122223.13", "CD244"),
    ("ENSG00000120217.14", "CD274"), ("ENSG00000153563.15", "CD8A"), ("ENSG00000145649.8", "GZMA"),
    ("ENSG00000180644.8", "PRF1"), ("ENSG00000000003.15", "TSPAN6"), ("ENSG00000002586.20", "CD99"),
)  # fmt: skip
MAF_COLUMNS = [
    "Hugo_Symbol",
    "Entrez_Gene_Id",
    "Center",
    "NCBI_Build",
    "Chromosome",
    "Start_Position",
    "End_Position",
    "Strand",
    "Variant_Classification",
    "Variant_Type",
    "Reference_Allele",
    "Tumor_Seq_Allele1",
    "Tumor_Seq_Allele2",
    "dbSNP_RS",
    "dbSNP_Val_Status",
    "Tumor_Sample_Barcode",
    "Matched_Norm_Sample_Barcode",
    "Match_Norm_Seq_Allele1",
    "Match_Norm_Seq_Allele2",
    "Tumor_Validation_Allele1",
    "Tumor_Validation_Allele2",
    "Match_Norm_Validation_Allele1",
    "Match_Norm_Validation_Allele2",
    "Verification_Status",
    "Validation_Status",
    "Mutation_Status",
    "Sequencing_Phase",
    "Sequence_Source",
    "Validation_Method",
    "Score",
    "BAM_File",
    "Sequencer",
    "Tumor_Sample_UUID",
    "Matched_Norm_Sample_UUID",
    "HGVSc",
    "HGVSp",
    "HGVSp_Short",
    "Transcript_ID",
    "Exon_Number",
    "t_depth",
    "t_ref_count",
    "t_alt_count",
    "n_depth",
    "n_ref_count",
    "n_alt_count",
    "One_Consequence",
    "Consequence",
    "IMPACT",
    "case_id",
    "GDC_FILTER",
    "COSMIC",
    "hotspot",
    "RNA_Support",
    "RNA_depth",
    "RNA_ref_count",
    "RNA_alt_count",
    "callers",
]
PUBLISHED = {
    "cibersort": "b3df502e-3594-46ef-9f94-d041a20a0b9a",
    "leukocyte": "6f75c9d7-5134-4ed1-b8f3-72856c98a4e8",
    "absolute": "4f277128-f793-4354-a13d-30cc7fe9f6b5",
    "mutation_load": "ff3f962c-3573-44ae-a8f4-e5ac0aea64b6",
    "sample_quality": "1a7d7be8-675d-4e60-a105-19d4121bdebf",
    "cdr": "1b5f413e-a8d1-4d10-92eb-7c4ae739ed81",
}


def generator(*names: object) -> np.random.Generator:
    """Return a generator that depends on names alone."""
    return np.random.default_rng(list(hashlib.sha256("/".join(map(str, names)).encode()).digest()[:16]))


def twelve() -> list[str]:
    """Return the twelve patients of TCGA-KIRC with an RCC-AID segmentation."""
    rows = index_rows()
    return sorted(rows.loc[rows["analysis_result_id"].eq("rcc_aid"), "PatientID"].unique())


def immune_symbols() -> list[str]:
    """Return genes that imrad's embedded immune scores need, and a third of ESTIMATE's common genes: for `symbols`."""
    data = HERE.parents[1] / "imrad" / "immune" / "data"
    estimate = pd.read_csv(data / "estimate_genes.csv.gz", dtype=str, keep_default_na=False)
    wanted = set(estimate.loc[estimate["set"].ne(""), "symbol"]) | set(estimate["symbol"][::3])
    wanted |= set(pd.read_csv(data / "til10.csv")["ID"])
    for line in (data / "markers_danaher2017.gmt").read_text().splitlines():
        wanted |= set(line.split("\t")[2:])
    return sorted(wanted)


def index_rows() -> pd.DataFrame:
    """Return the real index rows, as idc-index-data has them."""
    return pd.read_csv(
        HERE / "index_rows.csv.gz", dtype={"SeriesNumber": str, "analysis_result_id": object}, keep_default_na=True
    )


class World:
    """What every service holds.

    Parameters
    ----------
    folder : path
        Where the index parquet is written.
    patients : sequence of str, optional
        Some of those in the rows; all by default.
    slices, size : int
        Shape of every volume: slices x size x size.
    symbols : sequence of str, optional
        Further genes of the expression files, for scores that need them.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        patients: Sequence[str] | None = None,
        slices: int = 24,
        size: int = 48,
        symbols: Sequence[str] = (),
    ) -> None:
        self.slices, self.size = slices, size
        rows = index_rows()
        if patients is not None:
            rows = rows[rows["PatientID"].isin(list(patients))]
        rows = rows.assign(
            instanceCount=rows["instanceCount"].clip(upper=slices),
            series_size_MB=rows["instanceCount"].clip(upper=slices) * (2.0 * size * size + 1400) / 1e6,
        )
        self.rows = rows.reset_index(drop=True)
        self.patients = sorted(rows["PatientID"].unique())
        self.kirc = sorted(rows.loc[rows["collection_id"].eq("tcga_kirc"), "PatientID"].unique())
        self.index = Path(folder) / "index.parquet"
        self.index.parent.mkdir(parents=True, exist_ok=True)
        self.rows.to_parquet(self.index)
        known = {symbol for _, symbol in GENES}
        made = [(f"ENSG9{number:010d}.1", name) for number, name in enumerate(symbols) if name not in known]
        fillers = [(f"ENSG8{number:010d}.3", f"FILLER{number}") for number in range(200)]
        self.genes = [*GENES, *made, *fillers]
        self._cache: dict[str, list[tuple[str, bytes]]] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self.by_uuid = {row["crdc_series_uuid"]: row for row in self.rows.to_dict("records")}
        self.by_series = {row["SeriesInstanceUID"]: row for row in self.rows.to_dict("records")}
        self.published = {PUBLISHED[name]: data for name, data in self._published_tables().items()}
        self.gdc_files = self._gdc_files()
        self.gdc_data = {hit["file_id"]: (hit["file_name"], data) for hit, data in self.gdc_files}
        self.gdc_cases = [self._case(name) for name in self.patients if not name.startswith("LUNG")]

    @property
    def pins(self) -> dict[str, str]:
        """MD5 of this world's published tables by UUID; the mutation load has none, as in reality."""
        return {
            key: hashlib.md5(data).hexdigest()
            for key, data in self.published.items()
            if key != PUBLISHED["mutation_load"]
        }

    # Images

    def objects(self, series_uuid: str) -> list[tuple[str, bytes]]:
        """Return name and bytes of every instance of a series."""
        with self._lock:
            lock = self._locks.setdefault(series_uuid, threading.Lock())
        with lock:
            if series_uuid not in self._cache:
                row = self.by_uuid.get(series_uuid)
                made = [] if row is None else self._make(row)
                self._cache[series_uuid] = [(f"{series_uuid}/{name}.dcm", data) for name, data in made]
            return self._cache[series_uuid]

    def _make(self, row: dict[str, Any]) -> list[tuple[str, bytes]]:
        if row["Modality"] == "CT":
            return self._ct(row)
        source = self.source_of(row)
        if row["Modality"] == "RTSTRUCT":
            return [(_uuid(row["SeriesInstanceUID"]), self._rtstruct(row, source))]
        label_map = str(row["SOPClassUID"]).endswith(".66.7")
        return [(_uuid(row["SeriesInstanceUID"]), self._seg(row, source, label_map=label_map))]

    def source_of(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the scan that a segmentation outlines: the one it names, else the study's largest."""
        text = str(row["SeriesDescription"])
        rows = self.rows
        study = rows[rows["Modality"].eq("CT") & rows["StudyInstanceUID"].eq(row["StudyInstanceUID"])]
        if "CT series " in text:
            study = study[study["SeriesNumber"].eq(text.rsplit("CT series ", 1)[1])]
        soft = study[~study["SeriesDescription"].fillna("").str.contains("cor|sag|mip|mpr", case=False)]
        return (soft if len(soft) else study).sort_values(["instanceCount", "SeriesInstanceUID"]).iloc[-1].to_dict()

    def volume(self, patient: str, series: str) -> tuple[np.ndarray, np.ndarray]:
        """Return Hounsfield units and labels (1 kidney, 2 tumour, 3 cyst) of a patient's scan."""
        draw = generator("anatomy", patient)
        shape = (self.slices, self.size, self.size)
        z, y, x = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
        mm = np.stack([(z - shape[0] / 2) * SLICE_MM, (y - shape[1] / 2) * PIXEL_MM, (x - shape[2] / 2) * PIXEL_MM])
        radius = self.size * PIXEL_MM / 2
        body = (mm[1] / (0.8 * radius)) ** 2 + (mm[2] / (0.95 * radius)) ** 2 < 1
        muscle = (mm[1] / (0.7 * radius)) ** 2 + (mm[2] / (0.85 * radius)) ** 2 < 1
        centre = np.array([0.0, 10.0, -35.0]) + draw.uniform(-6, 6, 3)
        kidney = _ellipsoid(mm, centre, (45.0, 24.0, 20.0))
        tumour = _ellipsoid(mm, centre + draw.uniform(-12, 12, 3), draw.uniform(13.0, 22.0, 3))
        cyst = _ellipsoid(mm, centre + np.array([26.0, 12.0, 8.0]), (9.0, 9.0, 9.0)) & ~tumour
        noise = generator("noise", series).normal(0.0, 12.0, shape)
        texture = _smooth(draw.normal(0.0, 1.0, shape), draw.uniform(0.6, 2.0))
        hu = np.full(shape, -1000.0)
        hu[body], hu[muscle] = -100.0, 50.0
        hu[kidney], hu[cyst] = draw.uniform(140.0, 190.0), 8.0
        hu[tumour] = draw.uniform(60.0, 110.0) + draw.uniform(15.0, 45.0) * texture[tumour]
        hu = np.where(body, hu + noise, hu + 0.3 * noise).clip(-1024, 2000)
        labels = np.zeros(shape, dtype=np.uint8)
        labels[kidney], labels[cyst], labels[tumour] = 1, 3, 2
        return np.round(hu), labels

    def _ct(self, row: dict[str, Any]) -> list[tuple[str, bytes]]:
        hu, _ = self.volume(row["PatientID"], row["SeriesInstanceUID"])
        text = str(row["SeriesDescription"])
        count = int(row["instanceCount"])
        stack = (hu + 1024).astype("<u2")
        made = []
        for number in range(count):
            data = _base(row, _uid(row["SeriesInstanceUID"], number + 1), row["SOPClassUID"])
            data.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER" if "SCOUT" in text.upper() else "AXIAL"]
            data.InstanceNumber = number + 1
            data.FrameOfReferenceUID = frame_of(row["StudyInstanceUID"])
            data.ImagePositionPatient = self.position(number)
            data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
            data.PixelSpacing, data.SliceThickness = [PIXEL_MM, PIXEL_MM], SLICE_MM
            data.ConvolutionKernel = "B30f"
            data.Rows = data.Columns = self.size
            data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
            data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
            data.RescaleIntercept, data.RescaleSlope = -1024, 1
            data.PixelData = stack[min(number, self.slices - 1)].tobytes()
            made.append((_uuid(data.SOPInstanceUID), _bytes(data)))
        return sorted(made)

    def position(self, number: int) -> list[float]:
        """Return the position of a slice in mm."""
        corner = -self.size * PIXEL_MM / 2
        return [corner, corner, number * SLICE_MM]

    def _seg(self, row: dict[str, Any], source: dict[str, Any], *, label_map: bool) -> bytes:
        """Return a label map (one frame a slice, deflated) or a classic SEG (one frame a segment and slice)."""
        _, labels = self.volume(row["PatientID"], source["SeriesInstanceUID"])
        labels = labels[: int(source["instanceCount"])]
        data = _base(row, _uid(row["SeriesInstanceUID"], 1), row["SOPClassUID"])
        data.FrameOfReferenceUID = frame_of(row["StudyInstanceUID"])
        data.ImageType = ["DERIVED", "PRIMARY"]
        data.SegmentationType = "LABELMAP" if label_map else "BINARY"
        names = (("Kidney", "64033007"), ("Mass", "4147007"), ("Cyst", "103552005"))
        if not label_map:
            names = (("Kidney", "64033007"), ("Neoplasm", "108369006"), ("Cyst", "103552005"))
        data.SegmentSequence = DicomSequence([_segment(n, *one) for n, one in enumerate(names, start=1)])
        uids = [_uid(source["SeriesInstanceUID"], number + 1) for number in range(len(labels))]
        reference = Dataset()
        reference.SeriesInstanceUID = source["SeriesInstanceUID"]
        reference.ReferencedInstanceSequence = DicomSequence([_sop(uid) for uid in uids])
        data.ReferencedSeriesSequence = DicomSequence([reference])
        shared = Dataset()
        shared.PlaneOrientationSequence = _one(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
        shared.PixelMeasuresSequence = _one(PixelSpacing=[PIXEL_MM, PIXEL_MM], SliceThickness=SLICE_MM,
                                            SpacingBetweenSlices=SLICE_MM)  # fmt: skip
        data.SharedFunctionalGroupsSequence = DicomSequence([shared])
        frames, groups = [], []
        numbers = [0] if label_map else [1, 2, 3]
        for number in numbers:
            for place, plane in enumerate(labels):
                wanted = plane if label_map else (plane == number) | ((number == 1) & (plane > 1))
                if not wanted.any():
                    continue
                frames.append(np.asarray(wanted, dtype=np.uint8))
                groups.append(self._frame(place, number, uids[place]))
        data.PerFrameFunctionalGroupsSequence = DicomSequence(groups)
        data.NumberOfFrames = len(frames)
        data.Rows = data.Columns = self.size
        data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
        stack = np.stack(frames)
        if label_map:
            data.BitsAllocated, data.BitsStored, data.HighBit = 8, 8, 7
            pixels = stack.tobytes()
        else:
            data.BitsAllocated, data.BitsStored, data.HighBit = 1, 1, 0
            pixels = np.packbits(stack.ravel(), bitorder="little").tobytes()
        data.PixelData = pixels + b"\0" * (len(pixels) % 2)
        return _bytes(data, DEFLATED if label_map else ExplicitVRLittleEndian)

    def _frame(self, place: int, number: int, uid: str) -> Dataset:
        group = Dataset()
        group.PlanePositionSequence = _one(ImagePositionPatient=self.position(place))
        content = Dataset()
        content.DimensionIndexValues = [place + 1] if not number else [number, place + 1]
        group.FrameContentSequence = DicomSequence([content])
        if number:
            group.SegmentIdentificationSequence = _one(ReferencedSegmentNumber=number)
        derivation = Dataset()
        derivation.SourceImageSequence = DicomSequence([_sop(uid)])
        group.DerivationImageSequence = DicomSequence([derivation])
        return group

    def _rtstruct(self, row: dict[str, Any], source: dict[str, Any]) -> bytes:
        _, labels = self.volume(row["PatientID"], source["SeriesInstanceUID"])
        data = _base(row, _uid(row["SeriesInstanceUID"], 1), row["SOPClassUID"])
        data.StructureSetLabel = "RTSTRUCT"
        series = Dataset()
        series.SeriesInstanceUID = source["SeriesInstanceUID"]
        uids = [_uid(source["SeriesInstanceUID"], number + 1) for number in range(int(source["instanceCount"]))]
        series.ContourImageSequence = DicomSequence([_sop(uid) for uid in uids])
        study = Dataset()
        study.ReferencedSOPClassUID = "1.2.840.10008.3.1.2.3.1"
        study.ReferencedSOPInstanceUID = source["StudyInstanceUID"]
        study.RTReferencedSeriesSequence = DicomSequence([series])
        frame = Dataset()
        frame.FrameOfReferenceUID = frame_of(row["StudyInstanceUID"])
        frame.RTReferencedStudySequence = DicomSequence([study])
        data.ReferencedFrameOfReferenceSequence = DicomSequence([frame])
        data.StructureSetROISequence = _one(
            ROINumber=1, ROIName="GTV-1", ReferencedFrameOfReferenceUID=frame.FrameOfReferenceUID,
            ROIGenerationAlgorithm="MANUAL",
        )  # fmt: skip
        contours = []
        for place, plane in enumerate(labels[: len(uids)]):
            columns = np.flatnonzero((plane == 2).any(axis=0))
            rows = np.flatnonzero((plane == 2).any(axis=1))
            if not len(columns):
                continue
            corner = self.position(place)
            left, right = corner[0] + PIXEL_MM * (columns[0] - 0.4), corner[0] + PIXEL_MM * (columns[-1] + 0.4)
            top, bottom = corner[1] + PIXEL_MM * (rows[0] - 0.4), corner[1] + PIXEL_MM * (rows[-1] + 0.4)
            outline = [(left, top), (right, top), (right, bottom), (left, bottom)]
            contour = Dataset()
            contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", 4
            contour.ContourData = [f"{one:.2f}" for point in outline for one in (*point, corner[2])]
            contour.ContourImageSequence = DicomSequence([_sop(uids[place])])
            contours.append(contour)
        roi = Dataset()
        roi.ReferencedROINumber, roi.ContourSequence = 1, DicomSequence(contours)
        data.ROIContourSequence = DicomSequence([roi])
        observation = Dataset()
        observation.ObservationNumber = observation.ReferencedROINumber = 1
        observation.RTROIInterpretedType, observation.ROIInterpreter = "GTV", ""
        data.RTROIObservationsSequence = DicomSequence([observation])
        return _bytes(data)

    def archive(self, series: str, *, hashed: bool, leave_out: int = 0) -> bytes:
        """Return the zip that NBIA sends: licence first, images, and the digests last."""
        objects = self.objects(self.by_series[series]["crdc_series_uuid"])
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as out:
            out.writestr(zipfile.ZipInfo("LICENSE", (2020, 1, 1, 0, 0, 0)), "CC BY 3.0, see the collection's page")
            lines = ["Filename,MD5Hash"]
            for number, (_, data) in enumerate(objects[leave_out:], start=1):
                name = f"{number:08d}.dcm"
                out.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), data)
                lines.append(f"{name},{hashlib.md5(data).hexdigest()}")
            if hashed:
                out.writestr(zipfile.ZipInfo("md5hashes.csv", (2020, 1, 1, 0, 0, 0)), "\n".join(lines))
        return packed.getvalue()

    # Patients' records

    def survival(self, patient: str) -> tuple[int, int, int, int]:
        """Return OS time and event, PFI time and event."""
        draw = generator("survival", patient)
        died = int(draw.uniform() < 0.5)
        days = int(draw.uniform(200, 3000))
        progressed = died or int(draw.uniform() < 0.3)
        return days, died, int(days * (0.6 if progressed else 1.0)), progressed

    def _case(self, patient: str) -> dict[str, Any]:
        draw = generator("case", patient)
        days, died, _, _ = self.survival(patient)
        project = "TCGA-KIRC" if patient.startswith("TCGA") else "CPTAC-3"
        primary = {
            "diagnosis_id": _uuid(patient, "diagnosis"),
            "diagnosis_is_primary_disease": "true",
            "classification_of_tumor": "primary",
            "primary_diagnosis": "Clear cell adenocarcinoma, NOS",
            "age_at_diagnosis": int(draw.uniform(40, 80) * 365.25),
            "ajcc_pathologic_stage": f"Stage {('I', 'II', 'III', 'IV')[int(draw.integers(4))]}",
            "tumor_grade": f"G{draw.integers(1, 5)}",
            "days_to_last_follow_up": None if died else days - 40,
            "days_to_diagnosis": 0,
        }
        prior = {
            "diagnosis_id": _uuid(patient, "prior"),
            "diagnosis_is_primary_disease": "false",
            "classification_of_tumor": "Prior primary",
            "primary_diagnosis": "Melanoma, NOS",
            "days_to_diagnosis": -900,
            "days_to_last_follow_up": None,
        }
        return {
            "id": _uuid(patient, "case"),
            "case_id": _uuid(patient, "case"),
            "submitter_id": patient,
            "project": {"project_id": project},
            "primary_site": "Kidney",
            "disease_type": "Adenomas and Adenocarcinomas",
            "demographic": {
                "vital_status": "Dead" if died else "Alive",
                "sex_at_birth": "male" if draw.uniform() < 0.6 else "female",
                "race": "white",
                "age_at_index": int(primary["age_at_diagnosis"] / 365.25),
                **({"days_to_death": days} if died else {}),
            },
            # The prior malignancy comes first, as it does in the wild.
            "diagnoses": [prior, primary] if draw.uniform() < 0.5 else [primary],
            "follow_ups": [{"days_to_follow_up": days, "progression_or_recurrence": "no"}],
        }

    def aliquot(self, patient: str, *, sample: str = "01A", analyte: str = "R", plate: str = "A277") -> str:
        """Return an aliquot barcode."""
        if patient.startswith("TCGA"):
            return f"{patient}-{sample}-01{analyte}-{plate}-07"
        return f"CPT{int(hashlib.sha256(f'{patient}{sample}{analyte}{plate}'.encode()).hexdigest()[:8], 16):010d}"

    def _gdc_files(self) -> list[tuple[dict[str, Any], bytes]]:
        found = []
        with_omics = [name for name in self.patients if not name.startswith("LUNG")]
        for number, patient in enumerate(with_omics):
            found.append(self._expression_file(patient, self.aliquot(patient), "Primary Tumor"))
            if number == 3:
                fixed = self.aliquot(patient, sample="01B", plate="A999")
                found.append(self._expression_file(patient, fixed, "Primary Tumor", ffpe=True))
                normal = self.aliquot(patient, sample="11A", plate="A999")
                found.append(self._expression_file(patient, normal, "Solid Tissue Normal"))
            if number == 4:
                later = self.aliquot(patient, plate="B111")
                found.append(self._expression_file(patient, later, "Primary Tumor"))
            if number != 5:
                found.append(self._maf_file(patient, empty=number == 6))
        return found

    def _hit(self, patient: str, barcode: str, kind: str, name: str, data: bytes, ffpe: bool) -> dict[str, Any]:
        file_id = _uuid(patient, barcode, kind)
        project = "TCGA-KIRC" if patient.startswith("TCGA") else "CPTAC-3"
        return {
            "id": file_id,
            "file_id": file_id,
            "file_name": f"{file_id}.{name}",
            "file_size": len(data),
            "md5sum": hashlib.md5(data).hexdigest(),
            "access": "open",
            "state": "released",
            "data_type": kind,
            "project_id": project,
            "cases": [
                {
                    "case_id": _uuid(patient, "case"),
                    "submitter_id": patient,
                    "samples": [
                        {
                            "submitter_id": barcode[:16],
                            "sample_type": "Solid Tissue Normal" if "-11A-" in barcode else "Primary Tumor",
                            "tissue_type": "Normal" if "-11A-" in barcode else "Tumor",
                            "preservation_method": "FFPE" if ffpe else "Frozen",
                            "portions": [{"is_ffpe": ffpe}],
                        }
                    ],
                }
            ],
            "associated_entities": [{"entity_submitter_id": barcode, "entity_type": "aliquot"}],
        }

    def _expression_file(
        self, patient: str, barcode: str, sample_type: str, *, ffpe: bool = False
    ) -> tuple[dict[str, Any], bytes]:
        draw = generator("expression", barcode)
        counts = draw.negative_binomial(3, 0.004, len(self.genes))
        tpm = counts / counts.sum() * 1e6
        lines = [
            "# gene-model: GENCODE v36",
            "gene_id\tgene_name\tgene_type\tunstranded\tstranded_first\tstranded_second\t"
            "tpm_unstranded\tfpkm_unstranded\tfpkm_uq_unstranded",
            *(f"{name}\t\t\t1000\t1000\t1000\t\t\t" for name in
              ("N_unmapped", "N_multimapping", "N_noFeature", "N_ambiguous")),
            *(
                f"{gene}\t{symbol}\tprotein_coding\t{count}\t{count // 2}\t{count - count // 2}\t"
                f"{t:.4f}\t{t / 2:.4f}\t{t / 2:.4f}"
                for (gene, symbol), count, t in zip(self.genes, counts, tpm, strict=True)
            ),
            "ENSG00000002586.20_PAR_Y\tCD99\tprotein_coding\t0\t0\t0\t0.0000\t0.0000\t0.0000",
        ]  # fmt: skip
        data = ("\n".join(lines) + "\n").encode()
        name = "rna_seq.augmented_star_gene_counts.tsv"
        return self._hit(patient, barcode, "Gene Expression Quantification", name, data, ffpe), data

    def _maf_file(self, patient: str, *, empty: bool) -> tuple[dict[str, Any], bytes]:
        draw = generator("maf", patient)
        barcode = self.aliquot(patient, analyte="D")
        head = [
            "#version gdc-1.0.0", "#annotation.spec gdc-2.0.0-aliquot-merged-masked", "#contigs chr1,chr2",
            "#sort.order BarcodesAndCoordinate", "#filedate 20220101", f"#normal.aliquot {_uuid(patient, 'normal')}",
            f"#tumor.aliquot {_uuid(patient, 'tumour')}", "\t".join(MAF_COLUMNS),
        ]  # fmt: skip
        lines = []
        kinds = ("Missense_Mutation", "Silent", "Nonsense_Mutation", "Frame_Shift_Del", "Intron")
        for number in range(0 if empty else int(draw.integers(20, 120))):
            values = dict.fromkeys(MAF_COLUMNS, "")
            values |= {
                "Hugo_Symbol": ("VHL", "PBRM1", "SETD2", "BAP1")[number] if number < 4 else f"GENE{number}",
                "NCBI_Build": "GRCh38", "Chromosome": f"chr{draw.integers(1, 23)}", "Strand": "+",
                "Start_Position": str(1000 + 37 * number), "End_Position": str(1000 + 37 * number),
                "Variant_Classification": kinds[int(draw.integers(5))], "Variant_Type": "SNP",
                "Reference_Allele": "C", "Tumor_Seq_Allele1": "C", "Tumor_Seq_Allele2": "T",
                "Tumor_Sample_Barcode": barcode, "Matched_Norm_Sample_Barcode": barcode.replace("-01A-", "-10A-"),
                "t_depth": "100", "t_ref_count": "70", "t_alt_count": "30", "n_depth": "80",
                "case_id": _uuid(patient, "case"), "callers": "muse;mutect2;varscan2",
            }  # fmt: skip
            lines.append("\t".join(values.values()))
        packed = io.BytesIO()
        with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as out:
            out.write(("\n".join([*head, *lines]) + "\n").encode())
        data = packed.getvalue()
        name = "wxs.aliquot_ensemble_masked.maf.gz"
        return self._hit(patient, barcode, "Masked Somatic Mutation", name, data, ffpe=False), data

    def _published_tables(self) -> dict[str, bytes]:
        names = self.kirc
        rows = ["\t".join(["SampleID", "CancerType", *CELLS, "P.value", "Correlation", "RMSE"])]
        for number, name in enumerate(names):
            for sample, repeats in (("01A", 2 if number == 1 else 1), ("11A", 1 if number == 2 else 0)):
                for turn in range(repeats):
                    draw = generator("cells", name, sample, turn)
                    parts = draw.dirichlet(np.full(len(CELLS), 0.6))
                    values = [f"{one:.12g}" for one in (*parts, draw.uniform(0, 0.1), draw.uniform(0.1, 0.9), 1.0)]
                    rows.append("\t".join([self.aliquot(name, sample=sample).replace("-", "."), "KIRC", *values]))
        leukocytes = [
            f"KIRC\t{self.aliquot(name, analyte='D', plate='A36Y')}\t{generator('leuk', name).uniform(-0.01, 0.4):.12f}"
            for name in names
        ]
        absolute = ["array\tsample\tcall status\tpurity\tploidy\tGenome doublings"]
        for number, name in enumerate(names):
            called = number != 0
            purity = f"{generator('purity', name).uniform(0.3, 0.95):.2f}" if called else ""
            status = "called" if called else "low purity"
            absolute.append(f"{name}-01\t{self.aliquot(name, analyte='D')}\t{status}\t{purity}\t2.0\t0")
        load = ["Cohort\tPatient_ID\tTumor_Sample_ID\tSilent per Mb\tNon-silent per Mb"]
        load += [f"KIRC\t{name}\t{name}-01\t0.3\t{generator('load', name).uniform(0.3, 4):.6f}" for name in names]
        quality = ["patient_barcode\taliquot_barcode\tcancer type\tplatform\tDo_not_use"]
        quality += [f"{name}\t{self.aliquot(name, plate='B111')}\tKIRC\tRNA-Seq\tTrue" for name in names]
        return {
            "cibersort": ("\n".join(rows) + "\n").encode(),
            "leukocyte": ("\n".join(leukocytes) + "\n").encode(),
            "absolute": ("\n".join(absolute) + "\n").encode(),
            "mutation_load": ("\n".join(load) + "\n").encode(),
            "sample_quality": ("\n".join(quality) + "\n").encode(),
            "cdr": self._cdr(names),
        }

    def _cdr(self, names: Sequence[str]) -> bytes:
        import openpyxl

        book = openpyxl.Workbook()
        sheet = book.active
        sheet.title = "TCGA-CDR"
        columns = [
            "bcr_patient_barcode",
            "type",
            "age_at_initial_pathologic_diagnosis",
            "gender",
            "race",
            "ajcc_pathologic_tumor_stage",
            "clinical_stage",
            "histological_type",
            "histological_grade",
            "OS",
            "OS.time",
            "DSS",
            "DSS.time",
            "DFI",
            "DFI.time",
            "PFI",
            "PFI.time",
            "Redaction",
        ]
        sheet.append([None, *columns])
        for number, name in enumerate(names, start=1):
            days, died, progress, progressed = self.survival(name)
            if number == 3:
                days += 100
            sheet.append(
                [number, name, "KIRC", 60, "MALE", "WHITE", "Stage I", "[Not Applicable]", "Kidney Clear Cell", "G2",
                 died, days, died, days, None, "#N/A", progressed, progress, None]
            )  # fmt: skip
        book.create_sheet("ExtraEndpoints")
        saved = io.BytesIO()
        book.save(saved)
        return _without_times(saved.getvalue())

    def msi(self, attribute: str) -> list[dict[str, Any]]:
        """Return cBioPortal's rows of one attribute."""
        return [
            {
                "uniqueSampleKey": name, "uniquePatientKey": name, "sampleId": f"{name}-01", "patientId": name,
                "studyId": "kirc_tcga_pan_can_atlas_2018", "clinicalAttributeId": attribute,
                "value": f"{generator(attribute, name).uniform(0.25, 0.45):.4f}",
            }
            for name in self.kirc
        ]  # fmt: skip

    def nbia_series(self, **wanted: str) -> list[dict[str, Any]]:
        """Return NBIA's rows about series; keys with no value are left out, as NBIA does."""
        names = {"Collection": "collection_id", "PatientID": "PatientID", "SeriesInstanceUID": "SeriesInstanceUID",
                 "Modality": "Modality", "StudyInstanceUID": "StudyInstanceUID"}  # fmt: skip
        found = []
        for row in self.rows.to_dict("records"):
            if not isinstance(row["analysis_result_id"], float) and row["analysis_result_id"]:
                continue
            row = {**row, "collection_id": str(row["collection_id"]).upper().replace("_", "-")}
            if all(str(row[names[key]]) == value for key, value in wanted.items()):
                found.append(
                    {
                        "SeriesInstanceUID": row["SeriesInstanceUID"],
                        "StudyInstanceUID": row["StudyInstanceUID"],
                        "Modality": row["Modality"],
                        "Collection": row["collection_id"],
                        "PatientID": row["PatientID"],
                        "ImageCount": int(row["instanceCount"]),
                        "LicenseName": row["license_short_name"],
                    }
                )
        return found

    def sheets(self) -> dict[str, bytes]:
        """Return the files of the collections' pages, by last part of the address."""
        names = [name for name in self.patients if name.startswith("LUNG")]
        lines = ["PatientID,age,clinical.T.Stage,Clinical.N.Stage,Clinical.M.Stage,Overall.Stage,Histology,gender,"
                 "Survival.time,deadstatus.event"]  # fmt: skip
        lines += [f"{name},78.7,2,3,0,IIIb,large cell,male,2165,1" for name in names]
        return {"NSCLC-Radiomics-Lung1.clinical-version3-Oct-2019.csv": ("\n".join(lines) + "\n").encode()}


def frame_of(study: str) -> str:
    """Return the frame of reference of a study."""
    return _uid(study, "frame")


def _uid(*names: object) -> str:
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, '/'.join(map(str, names))).int}"


def _uuid(*names: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join(names)))


def _ellipsoid(mm: np.ndarray, centre: Any, radii: Any) -> np.ndarray:
    return sum(((mm[axis] - centre[axis]) / radii[axis]) ** 2 for axis in range(3)) < 1


def _smooth(noise: np.ndarray, width: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(noise, width)
    return (smooth - smooth.mean()) / smooth.std()


def _base(row: dict[str, Any], uid: str, sop_class: str) -> Dataset:
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = sop_class, uid
    data.Modality, data.PatientID, data.PatientName = row["Modality"], row["PatientID"], row["PatientID"]
    data.StudyInstanceUID, data.SeriesInstanceUID = row["StudyInstanceUID"], row["SeriesInstanceUID"]
    data.StudyDate = str(row["StudyDate"]).replace("-", "")
    data.SeriesNumber = int(float(row["SeriesNumber"])) if isinstance(row["SeriesNumber"], str) else 1
    if isinstance(row["SeriesDescription"], str):
        data.SeriesDescription = row["SeriesDescription"]
    data.Manufacturer = "MADE UP"
    return data


def _bytes(data: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.file_meta.TransferSyntaxUID = syntax
    saved = io.BytesIO()
    pydicom.dcmwrite(saved, data, enforce_file_format=True)
    return saved.getvalue()


def _one(**values: Any) -> DicomSequence:
    item = Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    return DicomSequence([item])


def _sop(uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CT_CLASS, uid
    return item


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    return item


def _segment(number: int, meaning: str, code: str) -> Dataset:
    item = Dataset()
    item.SegmentNumber, item.SegmentLabel, item.SegmentAlgorithmType = number, meaning, "MANUAL"
    item.SegmentedPropertyCategoryCodeSequence = DicomSequence(
        [_code("49755003", "Morphologically Abnormal Structure")]
    )
    item.SegmentedPropertyTypeCodeSequence = DicomSequence([_code(code, meaning)])
    return item


def _without_times(data: bytes) -> bytes:
    """Return a workbook whose bytes do not tell when it was made."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in sorted(old.namelist()):
            text = old.read(name)
            if name == "docProps/core.xml":
                text = b'<?xml version="1.0"?><cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties"/>'
            new.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), text)
    return packed.getvalue()


def as_json(value: Any) -> bytes:
    """Return JSON bytes."""
    return json.dumps(value).encode()
