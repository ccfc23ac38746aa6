"""Titles of the sections, in both languages; what one section calls another by."""

__all__ = ["TITLES"]

TITLES: dict[str, tuple[str, str]] = {
    "verdict": ("Verdict", "结论"),
    "cohort": ("Cohort and attrition", "队列与流失"),
    "imaging": ("Imaging quality", "影像质量"),
    "features": ("Features", "特征"),
    "targets": ("Immune targets", "免疫靶标"),
    "grid": ("Phenotype grid", "表型网格"),
    "biology": ("From imaging to biology", "从影像到生物学"),
    "models": ("Survival models", "生存模型"),
    "curves": ("Curves", "曲线"),
    "model": ("The model", "模型"),
    "explanations": ("Explanations", "解释"),
    "studies": ("As studies print it", "文献常见图表"),
    "subgroups": ("Subgroups", "亚组"),
    "robustness": ("Robustness", "稳健性"),
    "response": ("Binary endpoints", "二分类终点"),
    "external": ("External cohort", "外部队列"),
    "checklists": ("Checks and checklists", "检查与清单"),
    "methods": ("Methods", "方法"),
}
