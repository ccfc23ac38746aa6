import numpy as np
import pytest

from imrad.evaluation import Ledger, SplitTable, check_ledger, draw_splits
from imrad.exceptions import CohortError, LeakError, SchemaError

PATIENTS = [f"P{n:02d}" for n in range(40)]
SPLITS = draw_splits(PATIENTS, np.arange(40) % 3 == 0, seed=7, n_repeats=2)


def checked(ledger):
    check_ledger(ledger.frame(), ledger.sets(), SPLITS)


def test_folds_partition_and_balance():
    event = np.arange(40) % 3 == 0
    for repeat in SPLITS.repeats:
        folds = list(SPLITS.outer(repeat))
        assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(40))
        for fold in folds:
            assert not set(fold.train) & set(fold.test)
            assert 2 <= event[fold.test].sum() <= 3
            inner = list(SPLITS.inner(fold))
            assert sorted(np.concatenate([part.test for part in inner])) == sorted(fold.train)
            assert all(set(part.train) | set(part.test) == set(fold.train) for part in inner)


def test_the_draw_is_a_function_of_the_seed():
    again = draw_splits(PATIENTS, np.arange(40) % 3 == 0, seed=7, n_repeats=2)
    other = draw_splits(PATIENTS, np.arange(40) % 3 == 0, seed=8, n_repeats=2)
    assert again.table.equals(SPLITS.table)
    assert not other.table.equals(SPLITS.table)


def test_groups_stay_together():
    groups = np.arange(40) // 2
    splits = draw_splits(PATIENTS, np.zeros(40), seed=1, groups=groups)
    for fold in splits.outer():
        assert not set(groups[fold.train]) & set(groups[fold.test])
        for part in splits.inner(fold):
            assert not set(groups[part.train]) & set(groups[part.test])


def test_too_few_patients_are_refused_with_the_numbers():
    with pytest.raises(CohortError, match="4 patients cannot be split into 5"):
        draw_splits(PATIENTS[:4], [0, 1, 0, 1], seed=1)


def test_a_table_that_misses_a_patient_is_refused():
    with pytest.raises(SchemaError, match="every patient exactly once"):
        SplitTable(SPLITS.table.iloc[1:])
    broken = SPLITS.table.copy()
    broken.loc[0, f"inner_{(int(broken.loc[0, 'outer']) + 1) % 5}"] = None
    with pytest.raises(SchemaError, match="must be empty exactly where"):
        SplitTable(broken)


def test_honest_fits_pass():
    ledger = Ledger(PATIENTS)
    fold = next(SPLITS.outer())
    part = next(SPLITS.inner(fold))
    X = np.arange(80.0).reshape(40, 2)
    (seen,) = ledger.rows(fold.train, X, stage="phenotype", step="scaler", fold=fold.name)
    np.testing.assert_array_equal(seen, X[fold.train])
    inner = ledger.record(stage="phenotype", step="forest", fold=part.name, rows=part.train)
    stack = ledger.record(stage="phenotype", step="stacking", fold=fold.name, rows=fold.train)
    ledger.use(consumer=stack, producer=inner, rows=part.test)
    ledger.count(stage="phenotype", step="permutations", fold=fold.name, n=20)
    checked(ledger)
    assert set(ledger.frame()["kind"]) == {"fit", "input", "count"}


@pytest.mark.parametrize("level", ["outer", "inner"])
def test_a_fit_on_a_held_out_patient_is_named(level):
    ledger = Ledger(PATIENTS)
    fold = next(SPLITS.outer())
    part = next(SPLITS.inner(fold)) if level == "inner" else fold
    ledger.record(stage="phenotype", step="median cut", fold=part.name, rows=np.append(part.train, part.test[0]))
    with pytest.raises(LeakError, match=f"median cut .*{part.name}.*{PATIENTS[part.test[0]]}"):
        checked(ledger)


def test_an_in_sample_input_is_named():
    ledger = Ledger(PATIENTS)
    fold = next(SPLITS.outer())
    base = ledger.record(stage="phenotype", step="forest", fold=fold.name, rows=fold.train)
    stack = ledger.record(stage="phenotype", step="stacking", fold=fold.name, rows=fold.train)
    ledger.use(consumer=stack, producer=base, rows=fold.train[:3])
    with pytest.raises(LeakError, match=r"stacking .*in-sample predictions"):
        checked(ledger)


def test_an_unrecorded_producer_is_named():
    ledger = Ledger(PATIENTS)
    fold = next(SPLITS.outer())
    stack = ledger.record(stage="phenotype", step="stacking", fold=fold.name, rows=fold.train)
    ledger.use(consumer=stack, producer="phenotype:r0/o0:ghost", rows=fold.train[:3])
    with pytest.raises(LeakError, match="unrecorded fit"):
        checked(ledger)


def test_the_published_protocol_is_left_out_and_all_holds_nobody():
    ledger = Ledger(PATIENTS)
    everyone = np.arange(40)
    ledger.record(stage="published", step="selector", fold="r0/o0", rows=everyone)
    ledger.record(stage="survival", step="final model", fold="all", rows=everyone)
    checked(ledger)


def test_a_ledger_travels_as_plain_values(tmp_path):
    from imrad import content

    ledger = Ledger(PATIENTS)
    fold = next(SPLITS.outer())
    ledger.record(stage="phenotype", step="scaler", fold=fold.name, rows=fold.train)
    ledger.count(stage="phenotype", step="permutations", fold=fold.name, n=3)
    content.save(tmp_path / "l.zip", ledger.to_plain())
    back = Ledger.from_plain(PATIENTS, content.load(tmp_path / "l.zip"))
    assert back.frame().equals(ledger.frame())
    assert back.sets() == ledger.sets()
