import numpy as np
import pandas as pd
import pytest

from imrad.cohort import Endpoint, endpoint_known, parse_endpoint, read_endpoint, survival_y
from imrad.exceptions import CohortError, ConfigError, SchemaError, TooFewEventsError


def clinical(**columns):
    n = len(next(iter(columns.values())))
    return pd.DataFrame(columns, index=pd.Index([f"P{i}" for i in range(n)], name="patient"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("os", Endpoint("os", time="os_days", event="os_event")),
        ("OS=OS.time,OS", Endpoint("os", time="OS.time", event="OS")),
        ("os=OS_MONTHS,OS_STATUS", Endpoint("os", time="OS_MONTHS", event="OS_STATUS", unit="months")),
        ("os=fu:years,dead", Endpoint("os", time="fu", event="dead", unit="years")),
        ("pfs = dx , pd|death , last", Endpoint("pfs", start="dx", event_dates=("pd", "death"), last="last")),
    ],
)
def test_an_endpoint_is_read_from_its_text(text, expected):
    assert parse_endpoint(text) == expected


@pytest.mark.parametrize("text", ["os=", "os=a", "=a,b", "os=a,b,c,d", "os=a:fortnights,b", "", "o s=a,b"])
def test_a_text_that_is_no_endpoint_gets_one_sentence(text):
    with pytest.raises(ConfigError) as error:
        parse_endpoint(text)
    assert "\n" not in str(error.value)


def test_months_become_days_and_cbioportal_events_become_numbers():
    table = clinical(OS_MONTHS=["12", "0", ""], OS_STATUS=["1:DECEASED", "0:LIVING", ""])
    read = read_endpoint(table, parse_endpoint("os=OS_MONTHS,OS_STATUS"))
    assert read["os_days"].iloc[0] == pytest.approx(365.25)
    assert read["os_event"].iloc[:2].tolist() == [1.0, 0.0]
    assert read.iloc[2].isna().all()


def test_dates_become_days_and_the_earliest_event_counts():
    table = clinical(
        dx=["2020-01-01", "2020/1/1", "20200101", "2020年1月1日"],
        pd=["2020-02-01", "", "", ""],
        death=["2020-01-31", "2020-03-01 08:30", "", ""],
        last=["2021-01-01", "2020-03-01", "2020-01-11", ""],
    )
    read = read_endpoint(table, parse_endpoint("pfs=dx,pd|death,last"))
    assert read["pfs_days"].iloc[:3].tolist() == [30.0, 60.0, 10.0]
    assert read["pfs_event"].iloc[:3].tolist() == [1.0, 1.0, 0.0]
    assert read.iloc[3].isna().all()


@pytest.mark.parametrize(
    ("columns", "endpoint", "said"),
    [
        ({"t": [5.0, -1.0], "e": [1, 0]}, "os=t,e", "negative or infinite times for P1"),
        ({"t": [5.0, np.nan], "e": [1, 0]}, "os=t,e", "only one of time and event for P1"),
        ({"t": [5.0, 4.0], "e": [1, 2]}, "os=t,e", r"the event column e holds 2 for P1"),
        ({"t": ["5", "late"], "e": [1, 0]}, "os=t,e", "the time column t holds 'late' for P1"),
        ({"t": ["03/04/2021"], "d": ["2021-05-01"], "l": [""]}, "pfs=t,d,l", "'03/04/2021' for P0; write dates"),
        ({"t": ["2021-02-30"], "d": ["2021-05-01"], "l": [""]}, "pfs=t,d,l", "2021-02-30"),
        ({"t": ["2021-06-01"], "d": ["2021-05-01"], "l": [""]}, "pfs=t,d,l", "P0 lies before t"),
    ],
)
def test_impossible_times_and_events_are_refused_with_the_patients(columns, endpoint, said):
    with pytest.raises(CohortError, match=said) as error:
        read_endpoint(clinical(**columns), parse_endpoint(endpoint))
    assert "\n" not in str(error.value)


def test_a_missing_column_is_named_with_those_that_are_there():
    with pytest.raises(SchemaError, match=r"no column OS\.time; its columns are t, e"):
        read_endpoint(clinical(t=[1], e=[1]), parse_endpoint("os=OS.time,e"))


def test_survival_y_is_what_scikit_survival_takes():
    from sksurv.util import check_y_survival

    obs = clinical(os_days=[10.0, 20.0, 0.0], os_event=[1.0, 0.0, 1.0])
    event, time = check_y_survival(survival_y(obs, "os"))
    assert event.tolist() == [True, False, True]
    assert time.tolist() == [10.0, 20.0, 0.0]


def test_survival_y_refuses_what_a_model_cannot_use():
    obs = clinical(os_days=[10.0, np.nan], os_event=[1.0, np.nan])
    with pytest.raises(CohortError, match=r"missing for 1 of 2 patients \(P1\)"):
        survival_y(obs, "os")
    assert len(survival_y(obs[endpoint_known(obs, "os")], "os")) == 1
    with pytest.raises(TooFewEventsError, match="all 2 patients are censored"):
        survival_y(clinical(os_days=[1.0, 2.0], os_event=[0.0, 0.0]), "os")
    with pytest.raises(SchemaError, match="no endpoint 'pfi'; it has os"):
        survival_y(obs, "pfi")


def test_a_response_is_read_from_recist_or_from_words():
    table = clinical(best=["CR", "PR", "SD", "PD", "NE", ""], pcr=["pCR", "non-pCR", "1", "0", "yes", "是"])
    recist = read_endpoint(table, parse_endpoint("response=best"))
    assert recist["response"].iloc[:4].tolist() == [1.0, 1.0, 0.0, 0.0]
    assert recist["response"].iloc[4:].isna().all()
    assert endpoint_known(recist, "response").tolist() == [True] * 4 + [False] * 2
    assert read_endpoint(table, parse_endpoint("pcr=pcr"))["pcr"].tolist() == [1.0, 0.0, 1.0, 0.0, 1.0, 1.0]
    with pytest.raises(CohortError, match="best holds better for P0"):
        read_endpoint(clinical(best=["better"]), parse_endpoint("response=best"))
