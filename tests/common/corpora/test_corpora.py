from collections.abc import Callable
from pathlib import Path

import pytest

from common.cli import options
from common.corpora import catalogue
from common.corpora.files import find_passed_over, walk
from common.errors import CorpusError, UsageError

Touch = Callable[..., Path]


def test_the_options_name_the_same_corpora() -> None:
    assert tuple(catalogue.CORPORA) == options.CORPORA


def test_an_unknown_corpus_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean emodb"):
        catalogue.load("emdb", Path())


def test_label_map_renames_any_spelling(touch: Touch) -> None:
    root = touch("03a01Wa.wav", "03a01Xa.wav", "03a01Na.wav")
    (root / "map.toml").write_text('X = "sad"\nAngry = "upset"\n')
    listed = catalogue.load("emodb", root, catalogue.read_label_map(root / "map.toml"))
    assert [u.emotion for u in listed] == ["neutral", "upset", "sadness"]


def test_label_map_may_have_a_table(tmp_path: Path) -> None:
    path = tmp_path / "map.toml"
    path.write_text('[labels]\n"sehr wütend" = "ang"\n')
    assert catalogue.read_label_map(path) == {"sehr wütend": "anger"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("a = ", "is not TOML"),
        ("a = 1", "a = 1, expected a label"),
        ('ang = "x"\nangry = "y"', "two lines rename 'anger'"),
        ('b = "x"\n[labels]\na = "y"', "'b' stands outside"),
    ],
)
def test_a_bad_label_map_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "map.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        catalogue.read_label_map(path)


def test_a_missing_label_map_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        catalogue.read_label_map(tmp_path / "none.toml")


def test_what_was_passed_over_is_named(touch: Touch) -> None:
    root = touch(
        "03a01Wa.wav", "again/03a01Wa.ogg", "Kopie von 03a01Wa.wav", "._x.wav", ".hidden/03a01Na.wav", "readme.txt"
    )
    listed = catalogue.load("emodb", root)
    assert [u.path.name for u in listed] == ["03a01Wa.wav"]
    assert {(kind, path.name) for kind, path, _ in catalogue.find_passed_over("emodb", root, listed)} == {
        ("unknown-name", "Kopie von 03a01Wa.wav"),
        ("duplicate", "03a01Wa.ogg"),
    }
    assert find_passed_over(root, listed, None) == [
        ("duplicate", root / "again/03a01Wa.ogg", f"has the name of {root / '03a01Wa.wav'}, which is the one used")
    ]


def test_a_link_that_leads_in_a_circle_is_followed_once(touch: Touch) -> None:
    root = touch("a/03a01Wa.wav")
    (root / "a/up").symlink_to(root)
    (root / "b").symlink_to(root / "a")
    assert [folder.name for folder, _ in walk(root)] == [root.name, "a"]


def test_an_unreadable_folder_is_named(touch: Touch, monkeypatch: pytest.MonkeyPatch) -> None:
    root = touch("a/03a01Wa.wav")

    def forbidden(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.scandir", forbidden)
    with pytest.raises(CorpusError, match="Permission denied"):
        list(walk(root))


@pytest.mark.parametrize("name", sorted(catalogue.CORPORA))
@pytest.mark.parametrize("call", ["iterdir", "stat"])
def test_a_forbidden_root_is_named(name: str, call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    if call == "iterdir" and name in ("manifest", "synthetic"):
        return  # they list no folder
    monkeypatch.setattr(Path, call, forbidden)  # root may do anything, so the system's no is made up
    with pytest.raises(CorpusError, match=rf"^{tmp_path}: Permission denied; give this user the right to read it$"):
        catalogue.load(name, tmp_path)


@pytest.mark.parametrize("name", sorted(catalogue.CORPORA))
def test_a_root_that_is_no_path_is_one_line(name: str) -> None:
    with pytest.raises(CorpusError, match=r"is no path \(.*null"):
        catalogue.load(name, Path("a\0b"))
