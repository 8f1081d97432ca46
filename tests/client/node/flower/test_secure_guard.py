"""Sums behind masks through the guard: an honest round, and what a coordinator of bad will tries by hand."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.supercore.fab import Fab

from client.node.audit.model_hash import model_hash
from common import protocol
from common.errors import FederationError
from common.flower import sum_messages
from common.privacy.recipe import private_settings
from common.secure.pair_masks import new_key
from common.secure.roster import Roster
from tests.client.node.guarded import Site
from tests.client.node.secure.adding import identity, public
from tests.client.node.summing import (
    COUNTS,
    RUN,
    TIGHTENED,
    ask,
    begin,
    fab_of,
    gathered,
    hear,
    key,
    meet,
    moved_by,
    opened,
    policy_of,
    refused,
    sites_of,
    train,
    trained,
    unmask,
    update,
    vote,
)

pytestmark = pytest.mark.usefixtures("quick")
NAMES = ("site-00", "site-01", "site-02", "site-03")
BY = dict(zip(NAMES, (0.5, -0.25, 0.125, 1.0), strict=True))  # how far each moves every weight
SHARED = {**private_settings({"privacy.noise_multiplier": 4.0}), "privacy.noise": "shared", "privacy.honest": 3}
SHARED |= {"privacy.sample_rate": 0.5}
Sites = dict[str, Site]


@pytest.fixture
def secure(tmp_path: Path) -> Fab:
    return fab_of(tmp_path / "secure")


@pytest.fixture
def four(tmp_path: Path, secure: Fab) -> Sites:
    return sites_of(tmp_path, secure, 4)


def without(sites: Sites, *names: str) -> Sites:
    return {name: site for name, site in sites.items() if name not in names}


def test_a_round_opens_to_the_mean_and_nothing_else_leaves(four: Sites, secure: Fab) -> None:
    roster = begin(four)
    asked = train(roster)
    came = [trained(site, asked, BY[name]) for name, site in four.items()]
    site = four["site-00"]
    left = hear(site)
    assert set(left) == {protocol.MASKED, protocol.SECURE, protocol.CONFIG}
    assert set(left.config_records[protocol.CONFIG]) == {protocol.AUDIT_ENTRIES, protocol.AUDIT_HASH}
    assert set(site.server.seconds) <= {0.0, 3.0}
    assert site.server.seconds[-1] == 0.0  # how long its app trained would tell how much it did

    mean = opened(gathered(secure, asked, roster, came), four)
    assert mean.shape == (9,)
    assert np.abs(mean - np.mean(list(BY.values()))).max() < 1e-8

    [_, out, *_] = [line for line in site.lines("out") if line["type"] in (protocol.KEYS, protocol.TRAIN)]
    plain = update(by=BY["site-00"]).array_records[protocol.ARRAYS]
    assert out["model"] == model_hash(plain)  # by which a quarrel can be settled later
    kinds = [(line["kind"], line["type"]) for line in site.audit.entries() if "type" in line]
    asked_for = (protocol.HELLO, protocol.KEYS, protocol.TRAIN, protocol.UNMASK)
    assert kinds == [(way, kind) for kind in asked_for for way in ("in", "out")]
    assert {line["round"] for line in site.audit.entries() if line.get("type") == protocol.UNMASK} == {"1"}


@pytest.mark.parametrize("restart", [False, True])
def test_one_site_may_be_missing_and_a_node_restarted(four: Sites, secure: Fab, restart: bool) -> None:
    roster = begin(four)
    asked, there = train(roster), without(four, "site-03")
    came = [trained(site, asked, BY[name]) for name, site in there.items()]
    if restart:
        there = {name: site.restarted() for name, site in there.items()}
    mean = opened(gathered(secure, asked, roster, came), there)
    assert abs(mean[0] - np.mean([BY[name] for name in there])) < 1e-8


def test_a_site_that_went_away_before_the_opening_is_in_it(four: Sites, secure: Fab) -> None:
    roster = begin(four)
    asked = train(roster)
    came = [trained(site, asked, BY[name]) for name, site in four.items()]
    mean = opened(gathered(secure, asked, roster, came), without(four, "site-03"))
    assert abs(mean[0] - np.mean(list(BY.values()))) < 1e-8


def test_asked_again_after_a_restart_the_same_words_leave(four: Sites) -> None:
    roster = begin(four)
    asked, site = train(roster), four["site-00"]
    first = trained(site, asked, 0.5)
    again = trained(site.restarted(), train(roster), -0.3)  # another server head, and whatever the app trained
    assert again.packed() == first.packed()


def test_both_shares_and_seeds_of_one_site_are_never_told(four: Sites, secure: Fab) -> None:
    """One list of sites a round: of who is in it shares, of who is not seeds; a second list is refused."""
    roster = begin(four)
    asked = train(roster)
    came = [trained(site, asked) for site in four.values()]
    whole = gathered(secure, asked, roster, came)
    partial = gathered(secure, asked, roster, came[:3])
    three = without(four, "site-03")
    told = unmask(four["site-00"], whole.openings()["site-00"])
    assert set(told.shares) == set(NAMES)
    assert told.seeds == {}
    site = four["site-00"].restarted()
    why = refused(site, protocol.VOTE, sum_messages.opening_request(partial.openings()["site-00"]))
    assert "is opened for other sites: site-00, site-01, site-02, site-03" in why
    votes = {name: vote(own, partial.openings()[name]) for name, own in three.items() if name != "site-00"}
    forged = dataclasses.replace(partial.openings()["site-00"], votes=votes)
    assert "is opened for other sites" in refused(site, protocol.UNMASK, sum_messages.unmask_request(forged))


def test_without_the_others_votes_no_sum_is_opened_that_lacks_a_site(four: Sites, secure: Fab) -> None:
    roster = begin(four)
    asked, there = train(roster), without(four, "site-03")
    partial = gathered(secure, asked, roster, [trained(site, asked) for site in there.values()])
    opening = partial.openings()["site-00"]
    why = refused(four["site-00"], protocol.UNMASK, sum_messages.unmask_request(opening))
    assert "0 sites signed for a sum without site-03, expected 3" in why


@pytest.mark.parametrize("what", ["model", "rate", "total"])
def test_who_tells_one_site_something_else_opens_noise(four: Sites, secure: Fab, what: str) -> None:
    """Whatever the coordinator makes the sites believe of each other's terms."""
    roster = begin(four)
    asked, victim = train(roster), four["site-03"]
    other = {
        "model": lambda: train(roster, model=moved_by(0.25)),
        "rate": lambda: train(roster, told={protocol.PROXIMAL_MU: 0.1}),
        "total": lambda: train(dataclasses.replace(roster, examples=roster.examples + 1)),
    }[what]()
    if what == "total":
        assert "the roster says 161 examples in all, its sites' counts come to 160" in refused(
            victim, protocol.TRAIN, other
        )
        return
    came = [trained(site, asked, BY[name]) for name, site in without(four, "site-03").items()]
    came.append(trained(victim, other, BY["site-03"]))
    with pytest.raises(FederationError, match="site-03 masked on other terms than it was sent"):
        gathered(secure, asked, roster, came)
    forged = [dataclasses.replace(words, context=came[0].context) for words in came]
    opening = gathered(secure, asked, roster, forged).openings()["site-03"]
    why = refused(victim, protocol.UNMASK, sum_messages.unmask_request(opening))
    assert "is not what site-00 sealed for site-03 in this round" in why


def test_a_key_of_the_coordinators_own_is_refused(four: Sites) -> None:
    roster = begin(four)
    own, site = new_key(), four["site-00"]
    fourth = roster.entries[3]
    unsigned = dataclasses.replace(fourth, key=own.public.hex())
    why = refused(site, protocol.TRAIN, train(Roster.of([*roster.entries[:3], unsigned])))
    assert "site-03's entry in the roster is not signed for this run by the key that it names" in why
    theirs = dataclasses.replace(unsigned, identity=public("the coordinator")).signed(RUN, identity("the coordinator"))
    why = refused(site, protocol.TRAIN, train(Roster.of([*roster.entries[:3], theirs])))
    assert "site-03 is in the roster with another registered key than this site's roster.toml has" in why


def test_a_site_that_nobody_pinned_is_refused(tmp_path: Path, secure: Fab) -> None:
    five = sites_of(tmp_path, secure, 5, pinned=4)
    roster = begin(five)
    why = refused(five["site-00"], protocol.TRAIN, train(roster))
    assert "site-04 is in the roster and is no peer that this site's roster.toml names" in why


def test_two_sites_are_too_few(tmp_path: Path, secure: Fab) -> None:
    two = sites_of(tmp_path, secure, 2)
    roster = begin(two)
    why = refused(two["site-00"], protocol.TRAIN, train(roster))
    assert why == "a sum is of 2 sites, the policy asks for 3 (aggregation.least_sites)"


def test_the_model_of_a_round_is_not_trained_in_the_next(four: Sites) -> None:
    roster = begin(four)
    site = four["site-00"]
    trained(site, train(roster))
    why = refused(site, protocol.TRAIN, train(roster, 2))
    assert "was trained in round 1 of the same run before" in why
    assert "asked for before with another model" in refused(
        site.restarted(), protocol.TRAIN, train(roster, model=moved_by(0.25))
    )


def test_a_plain_message_is_refused_in_a_run_behind_masks(four: Sites) -> None:
    roster, site = begin(four), four["site-00"]
    plain = train(roster)
    del plain[protocol.SECURE]
    assert protocol.SECURE in refused(site, protocol.TRAIN, plain)
    model = {name: plain[name] for name in (protocol.ARRAYS,)}
    asked = RecordDict({**model, protocol.CONFIG: ConfigRecord({protocol.ROUND: 1})})
    assert protocol.SECURE in refused(site, protocol.EVALUATE, asked)
    assert protocol.SECURE in refused(site, protocol.STATISTICS, RecordDict({protocol.CONFIG: ConfigRecord()}))


def test_a_plain_run_is_refused_where_masks_are_required(tmp_path: Path) -> None:
    plain = fab_of(tmp_path / "plain", federation__secure=False)
    [site] = sites_of(tmp_path, plain, 1).values()
    why = refused(site, protocol.HELLO, RecordDict({protocol.CONFIG: ConfigRecord()}))
    assert why.startswith("the run adds updates up in plain, the policy asks for masks (aggregation.secure)")


@pytest.mark.parametrize(
    ("clauses", "why"),
    [
        ({"secure": "never"}, "which the policy takes no part in (aggregation.secure)"),
        ({"secure": "allowed", "peers": ""}, "and the policy names no keys of peers (aggregation.peers)"),
    ],
)
def test_a_run_behind_masks_is_refused_where_the_policy_has_none(
    tmp_path: Path, secure: Fab, clauses: dict[str, Any], why: str
) -> None:
    [site] = sites_of(tmp_path, secure, 1, **clauses).values()
    assert why in refused(site, protocol.HELLO, RecordDict({protocol.CONFIG: ConfigRecord()}))


def test_all_sites_train_in_each_round_behind_masks(tmp_path: Path) -> None:
    fab = fab_of(tmp_path / "half", federation__fraction=0.5)
    [site] = sites_of(tmp_path, fab, 1).values()
    why = refused(site, protocol.HELLO, RecordDict({protocol.CONFIG: ConfigRecord()}))
    assert why.startswith("the run has 0.5 of the sites in a round (federation.fraction)")


def test_keys_and_votes_belong_to_runs_behind_masks(tmp_path: Path) -> None:
    plain = fab_of(tmp_path / "plain", federation__secure=False)
    [site] = sites_of(tmp_path, plain, 1, secure="allowed").values()
    content = RecordDict({protocol.CONFIG: ConfigRecord({protocol.RUN: RUN})})
    assert "the run adds updates up in plain" in refused(site, protocol.KEYS, content)


def test_a_count_is_what_passed_the_gate_in_this_run(four: Sites) -> None:
    site = four["site-00"]
    content = RecordDict({protocol.CONFIG: ConfigRecord({protocol.RUN: RUN})})
    assert "was not told yet how much there is here" in refused(site, protocol.KEYS, content)
    meet(site)
    entry = key(site.restarted())
    assert (entry.examples, entry.validation) == (COUNTS["examples"], COUNTS["validation"])
    assert entry.is_signed(RUN)


def test_an_update_of_another_count_or_too_large_stays(four: Sites) -> None:
    roster, site = begin(four), four["site-00"]
    for reply, why in (
        (update(examples=39), "the app trained on 39, this site said 40"),
        (update(by=3.995), "the update's largest entry is 3.99"),
        (update(by=float("nan")), ""),
    ):
        message = ask(site, protocol.TRAIN, train(roster))
        assert message is not None
        site.answer(Message(reply, reply_to=message))
        assert site.server.reply().has_error()
        assert why in str(site.lines("refused")[-1]["why"])


def test_a_sum_is_of_the_run_that_the_site_told_its_key(four: Sites) -> None:
    roster, site = begin(four), four["site-00"]
    why = refused(site, protocol.TRAIN, train(roster, name="run-b"))
    assert why == "a sum of run run-b is asked for, the site told its key for run-a"


def test_after_the_farewell_nothing_is_opened(four: Sites, secure: Fab, tmp_path: Path) -> None:
    roster = begin(four)
    asked = train(roster)
    found = gathered(secure, asked, roster, [trained(site, asked) for site in four.values()])
    site = four["site-00"]
    kept = tmp_path / "site-00" / "sums" / "keys" / f"{RUN}.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    farewell = RecordDict({protocol.CONFIG: ConfigRecord({protocol.RUN: RUN})})
    assert ask(site, protocol.HELLO, farewell) is not None  # the app forgets, too
    assert not kept.exists()
    opening = found.openings()["site-00"]
    why = refused(site, protocol.UNMASK, sum_messages.unmask_request(opening))
    assert why == f"run {RUN} is over at this site, no round of it is added up any more"


@pytest.mark.parametrize("clause", TIGHTENED)
def test_a_clause_that_was_tightened_holds_from_the_next_message_on(tmp_path: Path, clause: str) -> None:
    section, name = clause.split(".")
    fab = fab_of(tmp_path / "fab", **(SHARED if section == "privacy" else {}))
    four = sites_of(tmp_path, fab, 4)
    for other in four.values():
        meet(other, examples=100 if other.name == "site-00" else COUNTS["examples"])
    roster, site = Roster.of(key(own) for own in four.values()), four["site-00"]
    message = ask(site, protocol.TRAIN, train(roster))
    assert message is not None
    allowed = dataclasses.replace(site.policy.aggregation, secure="allowed")
    before = dataclasses.replace(site.policy, aggregation=allowed)
    tightened = dataclasses.replace(getattr(before, section), **{name: TIGHTENED[clause]})
    site.policy = dataclasses.replace(before, **{section: tightened})
    if name.startswith("max_"):  # while the app works
        site.answer(Message(update(examples=100), reply_to=message))
        assert site.server.reply().has_error()
        why = str(site.lines("refused")[-1]["why"])
    else:
        why = refused(site, protocol.TRAIN, train(roster))
    parts = "the roster has 4 sites, a sum of this run is opened of 5 or more"
    assert (parts if name == "colluding" else f"({clause})") in why


def test_another_roster_in_the_policy_holds_at_once(four: Sites, secure: Fab, tmp_path: Path) -> None:
    roster, site = begin(four), four["site-00"]
    trained(site, train(roster))
    policy_of(tmp_path / "site-00", secure, NAMES[:3])  # the fourth's key was replaced, say
    why = refused(site, protocol.TRAIN, train(roster, 2, moved_by(0.25)))
    assert "site-03 is in the roster and is no peer" in why


def test_each_refusal_is_one_line_in_the_nodes_own_log(four: Sites, caplog: pytest.LogCaptureFixture) -> None:
    roster, site = begin(four), four["site-00"]
    with caplog.at_level(logging.WARNING, "fedser.node"):
        refused(site, protocol.TRAIN, train(Roster.of(roster.entries[:2])))
    [line] = caplog.messages
    assert line.startswith("run 1: train refused: a sum is of 2 sites")
    told = json.loads(json.dumps(site.server.reply().error.reason))
    assert told == "refused by the site's policy"  # the reason stays at the site
