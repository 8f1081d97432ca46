from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from client.node.site import code_check
from client.node.site.code_check import check_code, render
from common.deployment.site_kit import LISTING
from common.errors import FederationError, UsageError
from common.flower import bundle

OTHER = "ab" * 32


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project's files that make the bundle."""
    root = tmp_path_factory.mktemp("whole")
    for source in bundle.sources():
        (root / source.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle.ROOT / source.path, root / source.path)
    return root


def kit(folder: Path, digest: str, listing: str | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    if listing is not None:
        (folder / LISTING).write_text(listing)
    (folder / "policy.toml").write_text(f'[bundle]\nhashes = ["{digest}"]\n')
    return folder / "policy.toml"


def sound(folder: Path, root: Path) -> Path:
    """The kit that a coordinator with this source sends."""
    return kit(folder, bundle.digest(bundle.build(root)), bundle.listed(bundle.sources(root)))


def test_the_source_that_the_coordinator_had_is_allowed(tmp_path: Path, whole: Path) -> None:
    found = check_code(sound(tmp_path / "kit", bundle.ROOT), whole)
    assert (found.allowed, found.why, found.changed, found.missing, found.added) == (True, "", (), (), ())
    assert [file.path for file in found.files] == sorted([*bundle.files(), bundle.PROJECT.as_posix()])
    errors = (bundle.ROOT / "common/errors.py").read_text()
    assert next(file.lines for file in found.files if file.path == "common/errors.py") == errors.count("\n")
    said = list(render(found))
    assert said[-2:] == [f"their bundle is {found.bundle}", "the policy allows it"]
    assert len(said) == len(found.files) + 3


def append(root: Path) -> None:
    with (root / "common/privacy/dp_sgd.py").open("a") as file:
        file.write("# noise: none\n")


def flip(root: Path) -> None:
    path = root / "common/privacy/stream.py"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)


def setting(root: Path) -> None:
    path = root / bundle.PROJECT
    path.write_text(path.read_text().replace("privacy.insecure_seed = false", "privacy.insecure_seed = true"))


def leave_out(root: Path) -> None:
    path = root / bundle.PROJECT
    path.write_text(path.read_text().replace('  "common/validate.py",\n', ""))


def put_in(root: Path) -> None:
    path = root / bundle.PROJECT
    path.write_text(path.read_text().replace("fab-include = [", 'fab-include = [\n  "client/more.py",'))
    (root / "client/more.py").write_text("x = 1\n")


PROJECT = bundle.PROJECT.as_posix()


@pytest.mark.parametrize(
    ("change", "changed", "missing", "added"),
    [
        (append, ("common/privacy/dp_sgd.py",), (), ()),
        (flip, ("common/privacy/stream.py",), (), ()),
        (setting, (PROJECT,), (), ()),
        (leave_out, (PROJECT,), ("common/validate.py",), ()),
        (put_in, (PROJECT,), (), ("client/more.py",)),
    ],
)
def test_files_that_differ_are_named(
    tmp_path: Path,
    whole: Path,
    change: Callable[[Path], None],
    changed: tuple[str, ...],
    missing: tuple[str, ...],
    added: tuple[str, ...],
) -> None:
    """Whichever side it was changed at: the kit's source was sound and this one is not, or the other way round."""
    root = shutil.copytree(whole, tmp_path / "root")
    change(root)
    here = check_code(sound(tmp_path / "kit", whole), root)
    assert (here.allowed, here.changed, here.missing, here.added) == (False, changed, missing, added)
    there = check_code(sound(tmp_path / "kit", root), whole)
    assert (there.allowed, there.changed, there.missing, there.added) == (False, changed, added, missing)
    said = "\n".join(render(here))
    assert f"THE POLICY DOES NOT ALLOW IT: {len(changed + missing + added)} files are not those of bundle.txt" in said
    for path, word in [(changed, "CHANGED"), (missing, "MISSING"), (added, "ADDED")]:
        assert all(f"{name}  {word}" in said for name in path)


def test_without_the_kits_list_no_file_can_be_named(tmp_path: Path, whole: Path) -> None:
    found = check_code(kit(tmp_path / "kit", OTHER), whole)
    assert (found.allowed, found.changed, found.hashes) == (False, (), (OTHER,))
    assert found.why == "which files differ cannot be known without the kit's bundle.txt beside the policy"
    policy = tmp_path / "kit/policy.toml"
    policy.write_text("")
    assert check_code(policy, whole).why == "the policy allows no bundle (bundle.hashes)"


def test_another_hash_of_the_same_files_is_said_to_be_that(tmp_path: Path, whole: Path) -> None:
    found = check_code(kit(tmp_path / "kit", OTHER, bundle.listed(bundle.sources(whole))), whole)
    assert not found.allowed
    assert found.why.startswith(
        "every file is that of bundle.txt: the policy was changed since, or the bundle was built"
    )


def test_a_list_that_is_none_and_a_source_that_lacks_files_are_named(tmp_path: Path, whole: Path) -> None:
    policy = kit(tmp_path / "kit", OTHER, "common/errors.py\n")
    with pytest.raises(UsageError, match=r"bundle.txt: line 1 is none that sha256sum writes"):
        check_code(policy, whole)
    root = shutil.copytree(whole, tmp_path / "root")
    (root / "server/app.py").unlink()
    with pytest.raises(FederationError, match="is not an installation of fedser that can be sent"):
        check_code(policy, root)


def test_the_list_is_what_sha256sum_reads(tmp_path: Path, whole: Path) -> None:
    listing = tmp_path / LISTING
    listing.write_text(bundle.listed(bundle.sources(whole)))
    assert code_check.read_listing(listing) == {file.path: file.sha256 for file in bundle.sources(whole)}
    (tmp_path / "stars.txt").write_text(listing.read_text().replace("  ", " *"))  # of a binary file
    assert code_check.read_listing(tmp_path / "stars.txt") == code_check.read_listing(listing)
