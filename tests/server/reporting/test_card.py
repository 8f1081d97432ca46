from __future__ import annotations

from pathlib import Path
from typing import Any

from server.reporting.card import plain, write_card
from server.reporting.run_record import Result
from tests.server.example_result import deployed_result, lean_result, privacy, result, stranger_result


def written(tmp_path: Path, entry: dict[str, Any], licence: str = "CC0", citation: str = "Burkhardt 2005") -> str:
    write_card(Result.from_json(entry), tmp_path / "card.md", licence=licence, citation=citation)
    return (tmp_path / "card.md").read_text(encoding="utf-8")


def test_card_says_what_it_is_for_and_what_not(tmp_path: Path) -> None:
    card = written(tmp_path, result())
    assert card.startswith("# Model card: EMO-DB, 4 emotions\n")
    for words in ("Intended use", "Diagnosis", "Covert surveillance", "(EU) 2024/1689", "at work or in education"):
        assert words in card


def test_card_has_data_splits_licence_and_citation(tmp_path: Path) -> None:
    card = written(tmp_path, result())
    assert "110 recordings of 12 speakers; 2 skipped" in card
    assert "Licence, inherited from the corpus: CC0\n" in card
    assert "Cite: Burkhardt 2005\n" in card
    assert "| Fold 1 | 4 | 4 | 4 |\n" in card


def test_card_has_figures_with_intervals_and_recalls(tmp_path: Path) -> None:
    card = written(tmp_path, result())
    assert "| Federated UAR | 0.833 | 0.029 | 0.790 to 0.870 |\n" in card
    assert "| Each site alone, UAR | 0.800 | 0.000 | 0.750 to 0.840 |\n" in card
    assert "| UAR by chance | 0.250 | | |\n" in card
    assert "| sadness | 20 | 0.700 |\n" in card
    assert "12 test speakers" in card


def test_card_says_which_fold_its_model_comes_from(tmp_path: Path) -> None:
    assert "that of Fold 0:\nits own held-out UAR is 0.850." in written(tmp_path, result())
    assert "its own held-out UAR" not in written(tmp_path, lean_result())


def test_card_says_how_to_load_it_and_how_it_was_made(tmp_path: Path) -> None:
    card = written(tmp_path, result())
    assert "```\nfedser predict --model DIR FILE…\n```\n" in card
    assert "```\nfedser simulate --corpus emodb --root 'my data' --out runs/a\n```\n" in card


def test_notes_follow_the_result(tmp_path: Path) -> None:
    whole = written(tmp_path, result(corpus=result()["corpus"] | {"synthetic": True}))
    lean = written(tmp_path, lean_result())
    assert "Made from synthetic speech" in whole
    assert "Made from synthetic speech" not in lean
    assert "**Transductive.**" in whole
    assert "**Transductive.**" not in lean
    assert "chosen on the validation speakers" in whole
    assert "the model is that of the last round" in lean
    assert "| Federated UAR | 0.800 | – | – |" in lean  # noqa: RUF001
    assert "Pooled UAR" not in lean
    assert "How it was made" not in lean
    assert "without differential privacy" in lean
    private = written(tmp_path, result(privacy=privacy()))
    assert "with differential privacy for each utterance, ε = 7.98:" in private
    assert "NOT private" not in private
    assert "NOT private" in written(tmp_path, result(privacy=privacy(insecure_seed=True)))


def test_card_of_a_deployment_has_counts_and_the_epsilon_that_was_told(tmp_path: Path) -> None:
    entry = deployed_result()
    card = written(tmp_path, entry)
    assert "| Fold 0 | 4 | 1 | 5 |\n" in card
    assert "an untold number of recordings of 10 speakers" in card
    assert "ε = 7.98" in card
    entry["privacy"]["sites"]["charite"] = entry["privacy"]["sites"]["lausanne"]
    assert "they keep it to themselves" in written(tmp_path, entry)


def test_values_cannot_bring_markup_of_their_own(tmp_path: Path) -> None:
    entry = result(command="fedser ```\n# boo")
    entry["corpus"]["name"] = "<b>|x\n# boo"
    card = written(tmp_path, entry, licence="*free*")
    assert "<b>" not in card
    assert "\n# boo" not in card
    assert r"\*free\*" in card
    assert card.count("```") == 4


def test_plain_escapes_markdown() -> None:
    assert plain("a_b|c\nd") == r"a\_b\|c d"


def test_card_says_what_a_stranger_gets(tmp_path: Path) -> None:
    card = written(tmp_path, stranger_result(0.7, 0.75, 0.8, 0.833))
    assert "| a stranger's first recording | 0.700 | – |\n" in card  # noqa: RUF001
    assert "| all of the speaker known | 0.833 | – |\n" in card  # noqa: RUF001
    assert "--normalise running" not in card
    assert "--normalise running" in written(tmp_path, result())  # a run of before there were such figures


FITTED = {
    "temperature": 1.375,
    "recordings": 40,
    "ece_before": 0.125,
    "unsure": {"0.1": 0.425, "0.2": 0.5, "0.3": 0.625},
    "bins": {"right": [2.0] * 10 + [1.0] * 10, "wrong": [0.5] * 20},
}


def test_card_says_by_what_the_probabilities_were_calibrated(tmp_path: Path) -> None:
    entry = result()
    entry["folds"][0]["calibration"] = FITTED
    card = " ".join(written(tmp_path, entry).split())
    assert "divided by the temperature 1.375, which was fitted to 40 recordings of validation speakers" in card
    assert "the expected calibration error was 0.125 there" in card
    assert "least sure" not in card  # that is of temperature 1, on a scale that nobody sees
    assert "not calibrated" not in card


def test_card_says_why_the_temperature_is_one(tmp_path: Path) -> None:
    for entry, why in ((lean_result(), "nobody was set aside to fit it"), (result(), "it was not fitted")):
        card = " ".join(written(tmp_path, entry).split())
        assert f"The probabilities are not calibrated. The temperature is 1: {why}. `fedser calibrate --model" in card
