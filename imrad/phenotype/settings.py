"""What a config may say about the phenotype grid."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["PhenotypeSettings"]


class PhenotypeSettings(BaseModel):
    """Settings of :class:`imrad.phenotype.PhenotypeGrid`; every key is one of its parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    selectors: tuple[str, ...] = Field(
        ("information_gain", "gain_ratio", "gini_decrease", "fcbf"),
        min_length=1,
        description="Feature selectors, by name; 'none' keeps all features.",
    )
    classifiers: tuple[str, ...] = Field(
        (
            "random_forest",
            "gradient_boosting",
            "logistic_regression",
            "svm",
            "naive_bayes",
            "knn",
            "neural_network",
            "stacking",
        ),
        min_length=1,
        description="Classifiers, by name; stacking stands on the others.",
    )
    k: int = Field(20, ge=1, description="Features kept by every selector.")
    n_bins: int = Field(4, ge=2, le=100, description="Equal-frequency bins of selectors and naive Bayes.")
    defaults: Literal["founding", "imrad"] = Field(
        "founding", description="Named set of classifier settings: the founding study's, or saner ones."
    )
    engine: Literal["sklearn", "imrad"] = Field("imrad", description="Whose models: imrad's own or scikit-learn's.")
    cut: str | float | dict[str, str | float] = Field(
        "median",
        description="Where targets are cut, learnt in the fold: median, zero, continuous or a number; or by target.",
    )
    permutations: int | Literal["auto"] = Field(
        "auto", description="Most permutations of a target; 'auto' is what q < 0.05 over the targets asks, 0 is none."
    )
    exceedances: int = Field(
        10, ge=1, description="Permuted results at or above the observed one that end a target's permutations."
    )
    null_classifiers: tuple[str, ...] | Literal["auto", "all"] = Field(
        "auto", description="Classifiers whose cells the permutation test takes the maximum over."
    )
    protocol: Literal["nested", "published"] = Field(
        "nested", description="'published' also runs the leaky order of the founding study, to show its optimism."
    )
    controls: bool = Field(True, description="Volume-only, clinical-only and shuffled-feature rows beside the grid.")
    ablation: bool = Field(True, description="Also run the quick classifiers without any selector.")
    bundles: bool = Field(True, description="Fit each target's final model on the whole cohort and keep it.")
    share_null: bool = Field(True, description="Let targets of the same patients, ties and rule share permutations.")
    min_patients: int = Field(30, ge=10, description="Measured patients that a target needs.")
    min_class: int = Field(8, ge=2, description="Patients of each class that a target needs.")
    min_train_class: int = Field(3, ge=1, description="Patients of each class that every training fold needs.")

    def parameters(self) -> dict[str, Any]:
        """Return the arguments of :class:`imrad.phenotype.PhenotypeGrid` that these settings stand for."""
        from imrad.phenotype.targets import Gates

        out = self.model_dump()
        gates = {name: out.pop(name) for name in ("min_patients", "min_class", "min_train_class")}
        return {**out, "gates": Gates(**gates)}
