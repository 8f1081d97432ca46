import logging

import pytest

from common.config.settings import Config, FederationConfig, flatten
from common.errors import UsageError
from server.sites.robust import NEED_ALL, check_quorum, check_rule, least_trim


@pytest.mark.parametrize("sites", [2, 4])
def test_a_share_that_cuts_nothing_is_refused_with_the_least(sites: int) -> None:
    config = FederationConfig(strategy="fedtrimmedavg", trim=0.2)
    with pytest.raises(UsageError, match="at least 3" if sites == 2 else r"0\.2 of 4 sites .* at least 0\.25"):
        check_rule(config, sites)


@pytest.mark.parametrize("sites", [3, 4, 7, 9, 100])
def test_the_least_share_cuts_one_off(sites: int) -> None:
    assert int(least_trim(sites) * sites) == 1
    check_rule(FederationConfig(strategy="fedtrimmedavg", trim=least_trim(sites)), sites)


def test_a_rounds_share_of_the_sites_counts() -> None:
    check_rule(FederationConfig(strategy="fedtrimmedavg"), 4)
    with pytest.raises(UsageError, match="2 sites in a round"):
        check_rule(FederationConfig(strategy="fedtrimmedavg", fraction=0.5), 4)


def test_krum_says_how_many_sites_it_needs(caplog: pytest.LogCaptureFixture) -> None:
    for sites in (4, 5):
        check_rule(FederationConfig(strategy="multikrum", malicious=1), sites)
    [line] = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "1 faulty of 4 sites, which it can't promise below 5" in line


@pytest.mark.parametrize("name", [name for name in NEED_ALL if name in flatten(Config())])
def test_a_quorum_is_refused_where_every_site_must_answer(name: str) -> None:
    value, flag = NEED_ALL[name]
    with pytest.raises(UsageError, match=f"^--quorum 0.8: with {flag} a round needs the answer of every site"):
        check_quorum(Config().with_values({"federation.quorum": 0.8, name: value}))
    check_quorum(Config().with_values({name: value}))


def test_a_rule_is_held_to_as_few_sites_as_a_quorum_leaves_it() -> None:
    check_rule(FederationConfig(strategy="fedtrimmedavg", quorum=0.75), 4)
    with pytest.raises(UsageError, match="2 sites in a round, expected at least 3"):
        check_rule(FederationConfig(strategy="fedtrimmedavg", quorum=0.5), 4)


def test_a_quorum_is_a_share_of_the_sites() -> None:
    check_quorum(Config().with_values({"federation.quorum": 0.5, "federation.grace": 0}))
    for name, value in (("quorum", 0.0), ("quorum", 1.5), ("grace", -1.0)):
        with pytest.raises(UsageError, match=f"federation.{name} is "):
            Config().with_values({f"federation.{name}": value})
