"""The one AnnData convention: keys, barcodes, endpoints, assembly and validation."""

from imrad.cohort.assembly import assemble, patient_features
from imrad.cohort.attrition import Attrition
from imrad.cohort.barcodes import Barcode, choose_aliquots, is_tcga, parse_barcode, patient_id
from imrad.cohort.clinical import read_clinical, tidy_clinical, to_numbers
from imrad.cohort.delta import DeltaSettings
from imrad.cohort.derived import derive_columns, reader_pairs
from imrad.cohort.endpoints import ENDPOINTS, Endpoint, endpoint_known, parse_endpoint, read_endpoint, survival_y
from imrad.cohort.features import AGGREGATIONS, feature_columns, feature_table, read_cases
from imrad.cohort.responses import count_responses
from imrad.cohort.schema import validate
from imrad.cohort.store import attach_out_of_fold, cohort_digest, export_tables, read_cohort, write_cohort
from imrad.cohort.tables import read_table

__all__ = [
    "AGGREGATIONS",
    "ENDPOINTS",
    "Attrition",
    "Barcode",
    "DeltaSettings",
    "Endpoint",
    "assemble",
    "attach_out_of_fold",
    "choose_aliquots",
    "cohort_digest",
    "count_responses",
    "derive_columns",
    "endpoint_known",
    "export_tables",
    "feature_columns",
    "feature_table",
    "is_tcga",
    "parse_barcode",
    "parse_endpoint",
    "patient_features",
    "patient_id",
    "read_cases",
    "read_clinical",
    "read_cohort",
    "read_endpoint",
    "read_table",
    "reader_pairs",
    "survival_y",
    "tidy_clinical",
    "to_numbers",
    "validate",
    "write_cohort",
]
