from __future__ import annotations

from pathlib import Path

import pytest

from client.node.flower import supernode
from client.node.site import kit
from client.node.site.kit import Kit
from client.node.site.node_settings import NodeSettings, StateFolder
from common import protocol
from common.errors import UsageError

HEAD = 'name = "st-mary"\nsuperlink = "fl.example.org:8443"\n'


def test_a_kit_is_read(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(HEAD + '[data]\ncorpus = "emodb"\nroot = "wav"\nlabel_map = "labels.toml"\n')
    about = kit.read(tmp_path)
    assert about == Kit(
        folder=tmp_path,
        name="st-mary",
        superlink="fl.example.org:8443",
        corpus="emodb",
        root="wav",
        label_map="labels.toml",
    )
    assert (about.recordings("/data"), about.labels("/data")) == ("/data/wav", "/data/labels.toml")
    assert about.policy == tmp_path / "policy.toml"


def test_what_it_does_not_say_is_as_by_default(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(HEAD)
    about = kit.read(tmp_path)
    assert (about.corpus, about.recordings("/data"), about.labels("/data")) == ("manifest", "/data", "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('superlink = "a:1"\n', "name is None, expected e.g. st-mary"),
        ('name = "../etc"\nsuperlink = "a:1"\n', "name is '../etc'"),
        ('name = "St Mary"\nsuperlink = "a:1"\n', "name is 'St Mary'"),
        ('name = "st-mary"\nsuperlink = "https://a"\n', "superlink is 'https://a', expected e.g. fl.example.org:8443"),
        (HEAD + 'sitename = "x"\n', "the key is 'sitename', .*did you mean name"),
        (HEAD + '[data]\ncorpora = "x"\n', "the key is 'corpora', .*did you mean corpus"),
        (HEAD + "[data]\ncorpus = 3\n", "corpus is 3, expected a text"),
        (HEAD + "data = 3\n", "data is 3, expected a section"),
        (HEAD + '[data]\nspeaker_ids = "merged"\n', "speaker_ids is 'merged', .*did you mean merge"),
        ("name", "is not TOML"),
    ],
)
def test_a_kit_that_means_nothing(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "site.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        kit.read(tmp_path)


@pytest.mark.parametrize("said", ["", "merge", "distinct"])
def test_the_app_is_told_what_the_kit_says_of_ids(tmp_path: Path, said: str) -> None:
    (tmp_path / "site.toml").write_text(HEAD + f'[data]\nspeaker_ids = "{said}"\n')
    settings = NodeSettings(kit=tmp_path, state=StateFolder(folder=tmp_path), data="/data")
    assert supernode.node_config(settings, kit.read(tmp_path))[protocol.NODE_SPEAKER_IDS] == said


def test_a_folder_without_a_kit(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"site.toml: No such file or directory; --kit names the folder"):
        kit.read(tmp_path)
