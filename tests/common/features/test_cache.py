import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from common.audio.noise import noise_files
from common.config.settings import AugmentConfig, FeatureConfig
from common.errors import FedserError
from common.features.cache import FeatureCache, default_directory, entry_key

KEY = "ab" * 20


def entry(folder: Path) -> Path:
    [path] = folder.rglob("*.safetensors")
    return path


def test_what_is_stored_is_found_again(tmp_path: Path) -> None:
    cache, features = FeatureCache(tmp_path / "new"), torch.randn(5, 3)
    assert cache.load(KEY) is None
    cache.store(KEY, features)
    loaded = FeatureCache(tmp_path / "new").load(KEY)
    assert loaded is not None
    assert torch.equal(loaded, features)
    assert cache.load("cd" * 20) is None


def test_any_byte_that_changes_is_noticed(tmp_path: Path) -> None:
    cache, features = FeatureCache(tmp_path), torch.randn(2, 3)
    cache.store(KEY, features)
    path = entry(tmp_path)
    whole = path.read_bytes()
    for position in range(len(whole)):
        for change in (0x01, 0x13):  # 0x13 makes float32's F of the header a U, unsigned
            broken = bytearray(whole)
            broken[position] ^= change
            path.write_bytes(bytes(broken))
            loaded = cache.load(KEY)
            # A change in the header's blanks may change nothing.
            assert loaded is None or (loaded.dtype == torch.float32 and torch.equal(loaded, features))
            assert loaded is None or position < whole.index(b"}}") + 8


def test_an_entry_that_was_cut_short_is_missing(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)
    cache.store(KEY, torch.randn(2, 3))
    path = entry(tmp_path)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert cache.load(KEY) is None
    path.write_bytes(b"no tensors at all")
    assert cache.load(KEY) is None
    cache.store(KEY, torch.ones(1, 1))
    assert cache.load(KEY) == torch.ones(1, 1)


def test_features_outlive_their_file(tmp_path: Path) -> None:
    cache, features = FeatureCache(tmp_path), torch.randn(2000, 30)
    cache.store(KEY, features)
    loaded = cache.load(KEY)
    with entry(tmp_path).open("r+b") as file:
        file.truncate(0)  # a view of the file would now end the process
    assert loaded is not None
    assert torch.equal(loaded, features)


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = FeatureCache(tmp_path / "file")
    assert cache.load(KEY) is None
    with pytest.raises(FedserError, match=r"cannot be written: .*choose another folder") as refused:
        cache.store(KEY, torch.ones(1, 1))
    assert "\n" not in str(refused.value)


def test_the_key_names_bytes_settings_and_what_altered_a_copy() -> None:
    features, augment = FeatureConfig(deltas=2, stack=1), AugmentConfig(gain=6.0, noise=(5.0, 20.0))
    digest = "0123 None None"
    keys = {entry_key(digest, 0, features, augment), entry_key("0123 0.5 None", 0, features, augment)}
    others = {"sampling_rate": 8000, "windows": (25, 50), "hop": 5, "mfcc": 13, "log_mel": 40, "deltas": 1, "stack": 3}
    own = [setting.name for setting in dataclasses.fields(FeatureConfig) if setting.name != "encoder"]
    for setting in own:
        other: Any = others.get(setting, False)
        keys.add(entry_key(digest, 0, dataclasses.replace(features, **{setting: other}), augment))
    assert len(keys) == 2 + len(own)
    copies = {entry_key(digest, version, features, augment) for version in (0, 1, 2)}
    for altered in (
        dataclasses.replace(augment, speed=0.2),
        dataclasses.replace(augment, gain=1.0),
        dataclasses.replace(augment, noise=(0.0, 1.0)),
        dataclasses.replace(augment, noise=()),
    ):
        copies.add(entry_key(digest, 1, features, altered))
    assert len(copies) == 7


def test_the_original_is_found_whatever_the_augmentation() -> None:
    key = entry_key("x", 0, FeatureConfig(), AugmentConfig())
    other = AugmentConfig(copies=3, speed=0.2, noise=(), time_masks=0)
    assert entry_key("x", 0, FeatureConfig(), other) == key
    masks = AugmentConfig(time_masks=0, feature_width=0.5, copies=9, crop=0.5)  # of features that are there already
    assert entry_key("x", 1, FeatureConfig(), masks) == entry_key("x", 1, FeatureConfig(), AugmentConfig())


def test_the_key_of_a_noisy_copy_names_its_noise_and_that_of_before_is_kept(tmp_path: Path) -> None:
    noisy = AugmentConfig(gain=6.0, noise=(5.0, 20.0), noise_kinds=("pink",))
    before = "a80c3625f852"  # of a version that had pink noise alone
    assert entry_key("0123 None None", 1, FeatureConfig(), noisy).startswith(before)
    (tmp_path / "hum.wav").write_bytes(b"a hum")
    changes: list[dict[str, Any]] = [
        {"noise_kinds": ("babble",)},
        {"noise_kinds": ("pink", "room")},
        {"noise_share": 0.5},
        {"noise_set": 1},
        {"noise_recordings": str(tmp_path)},
    ]
    keys = {entry_key("x", 1, FeatureConfig(), dataclasses.replace(noisy, **own)) for own in ({}, *changes)}
    assert len(keys) == 1 + len(changes)
    silent = {entry_key("x", 1, FeatureConfig(), dataclasses.replace(noisy, noise=(), **own)) for own in changes[:-1]}
    assert len(silent) == 1
    (tmp_path / "hum.wav").write_bytes(b"another")
    noise_files.cache_clear()
    assert entry_key("x", 1, FeatureConfig(), dataclasses.replace(noisy, **changes[-1])) not in keys


def test_where_the_cache_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDSER_CACHE", "/a/b")
    assert default_directory() == Path("/a/b")
    monkeypatch.delenv("FEDSER_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/c")
    assert default_directory() == Path("/c/fedser/features")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/x")
    assert default_directory() == Path("/home/x/.cache/fedser/features")


@pytest.mark.parametrize("ring", ["client", "common", "recogniser", "server", "simulations"])
def test_no_module_reads_or_writes_pickles(ring: str) -> None:
    words = r"import pickle|(?<!safetensors\.)torch\.(?:save|load)\(|allow_pickle=True|np\.savez|joblib|shelve"
    for path in (Path(__file__).parents[3] / ring).rglob("*.py"):
        assert re.findall(words, path.read_text(encoding="utf-8")) == [], path
