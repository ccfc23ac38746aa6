"""Every error a user can meet; each message says what was found, what was needed and what to do.

::

    ImradError
    ├── ConfigError            a setting, a YAML key or a command-line value
    ├── InputError             a file that is missing, unreadable or not what it should be
    ├── MissingExtraError      an optional package that is not installed
    ├── CohortError            tables of patients
    │   ├── SchemaError        a cohort file that breaks the convention
    │   ├── DuplicateError     several rows where one was needed
    │   ├── NumbersError       values that no method can use
    │   └── NoOverlapError     tables without a common patient
    ├── ImageError             images and regions
    │   ├── GeometryError      two grids that do not fit
    │   └── RegionError        an empty, missing or ambiguous region
    ├── ScoreError             immune scores: units, gene ids, coverage
    ├── FitError               a model that cannot be fitted
    │   ├── FeasibilityError   a target or endpoint that cannot carry the question
    │   └── TooFewEventsError  a survival endpoint without enough events
    ├── LeakError              a fit that saw a held-out patient
    │   └── InSampleError      an in-sample prediction where an out-of-fold one was needed
    ├── BundleError            a model bundle that is altered, unsafe or does not fit
    └── FetchError             a public archive, in the words of the connectors

The connectors stand alone and have their own tree in :mod:`data_connectors.errors`; the stage that
calls them hands their errors on as a ``FetchError``.
"""


class ImradError(Exception):
    """Base of every error that imrad raises on purpose."""


class ConfigError(ImradError):
    """A setting, a YAML key or a command-line value cannot be used."""


class InputError(ImradError):
    """A file is missing, unreadable or not what it should be."""


class MissingExtraError(ImradError):
    """An optional package is needed and not installed."""


class CohortError(ImradError):
    """Tables of patients cannot be joined or used."""


class SchemaError(CohortError):
    """A cohort breaks the AnnData convention of :mod:`imrad.cohort`."""


class DuplicateError(CohortError):
    """Several rows stand where one was needed."""


class NumbersError(CohortError, ValueError):
    """Values are missing, infinite or too large, or their number is wrong; a ValueError, as scikit-learn asks."""


class NoOverlapError(CohortError):
    """Tables that should be joined share no patient."""


class ImageError(ImradError):
    """An image or a region cannot be used."""


class GeometryError(ImageError):
    """Image and region do not lie on grids that fit each other."""


class RegionError(ImageError):
    """A region of interest is empty, missing or ambiguous."""


class ScoreError(ImradError):
    """An immune score cannot be computed from this matrix."""


class FitError(ImradError):
    """A model cannot be fitted."""


class FeasibilityError(FitError):
    """A target or an endpoint cannot carry the question asked of it."""


class TooFewEventsError(FitError):
    """A survival endpoint has too few events."""


class LeakError(ImradError):
    """A fit saw a patient that was held out from it."""


class InSampleError(LeakError):
    """An in-sample prediction was handed over where an out-of-fold one is needed."""


class BundleError(ImradError):
    """A model bundle is altered, unsafe, or does not fit what it is applied to."""


class FetchError(ImradError):
    """A public archive cannot be read; the message is the connector's."""
