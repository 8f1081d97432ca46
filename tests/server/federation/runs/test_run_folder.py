from __future__ import annotations

from pathlib import Path

from tests.server.federation import example_folder


def test_a_run_that_has_something_of_its_own_is_kept(tmp_path: Path) -> None:
    place = example_folder.run(example_folder.folder(tmp_path))
    assert not place.discard()  # it has a state
    place.file("state.json").unlink()
    place.file("checkpoint.safetensors").write_bytes(b"x")
    assert not place.discard()
    place.file("checkpoint.safetensors").unlink()
    assert place.discard()
    assert not place.path.exists()
    assert not place.discard()
