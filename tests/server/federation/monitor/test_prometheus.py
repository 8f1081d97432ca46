from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from server.federation.monitor.prometheus import exposition
from server.federation.monitor.snapshot import look
from tests.server.federation import example_folder
from tests.server.federation.example_folder import NOW, entry

SAMPLE = re.compile(r'[a-z_]+(\{[a-z]+="(?:[^"\\\n]|\\.)*"\})? [-+.0-9e]+')


def told(tmp_path: Path) -> str:
    run = example_folder.run(example_folder.folder(tmp_path, online=("charite",)))
    example_folder.rounds(run, [entry(1, uar=0.5), entry(2, uar=0.625)])
    return exposition(look(run.folder, NOW))


def test_every_figure_is_a_sample_of_a_metric_with_type_and_help(tmp_path: Path) -> None:
    text = told(tmp_path)
    assert text.endswith("\n")
    lines = text.splitlines()
    names = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(names) == len(set(names))
    assert names == [line.split()[2] for line in lines if line.startswith("# HELP")]
    samples = [line for line in lines if not line.startswith("#")]
    assert all(SAMPLE.fullmatch(sample) for sample in samples)
    assert {re.split(r"[ {]", sample)[0] for sample in samples} == set(names)


def test_the_figures_are_those_of_the_view(tmp_path: Path) -> None:
    lines = told(tmp_path).splitlines()
    for line in (
        "fedser_superlink_up 1.0",
        "fedser_sites_online 1.0",
        "fedser_sites 3.0",
        'fedser_round{run="run-1"} 2.0',
        'fedser_validation_uar{run="run-1"} 0.625',
        'fedser_round_seconds{run="run-1"} 12.5',
        'fedser_site_online{site="charite"} 1.0',
        'fedser_site_online{site="lausanne"} 0.0',
        'fedser_site_examples{site="charite"} 73.0',
        'fedser_site_bytes_total{site="charite"} 2.8e+06',
        "# TYPE fedser_site_bytes_total counter",
    ):
        assert line in lines


def test_what_is_not_known_is_left_out(tmp_path: Path) -> None:
    text = told(tmp_path)
    assert "epsilon" not in text
    assert "None" not in text
    empty = exposition(look(example_folder.folder(tmp_path / "new"), NOW))
    assert "fedser_round" not in empty


def test_names_cannot_break_the_format(tmp_path: Path) -> None:
    view = look(example_folder.folder(tmp_path), NOW)
    odd = dataclasses.replace(view.sites[0], name='a"b\\c\nd')
    assert 'fedser_site_online{site="a\\"b\\\\c\\nd"} 1.0' in exposition(dataclasses.replace(view, sites=(odd,)))


def test_the_budget_stands_beside_the_epsilon_of_all_runs(tmp_path: Path) -> None:
    run = example_folder.run(example_folder.folder(tmp_path), settings={"privacy.epsilon": 8.0})
    example_folder.rounds(run, [entry(1, uar=None, epsilon=3.2, epsilon_total=5.1, budget=8.0)])
    lines = exposition(look(run.folder, NOW)).splitlines()
    assert 'fedser_site_epsilon{site="charite"} 3.2' in lines
    assert 'fedser_site_epsilon_all_runs{site="charite"} 5.1' in lines
    assert 'fedser_site_epsilon_budget{site="charite"} 8.0' in lines
