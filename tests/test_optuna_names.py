"""What the lab uses of Optuna's that is not public is as it was in the version it was written for."""

import pytest

optuna = pytest.importorskip("optuna", reason="Optuna comes with mlplab[search]")

ADVICE = f"Optuna {optuna.__version__} differs from 5 in what mlplab/optuna_names.py uses of it: "


def test_a_trial_that_was_asked_can_be_asked_and_told_again():
    from mlplab.optuna_names import trial_again

    study = optuna.create_study()
    asked = study.ask()
    value = asked.suggest_float("x", 0, 1)
    (frozen,) = study.get_trials()
    try:
        again = trial_again(study, frozen)
    except (AttributeError, TypeError) as error:
        pytest.fail(f"{ADVICE}{error}")
    assert again.number == asked.number and again.suggest_float("x", 0, 1) == value, ADVICE
    again.set_user_attr("facts", {"a": 1})
    study.tell(frozen.number, 1.0)
    assert study.get_trials()[0].user_attrs == {"facts": {"a": 1}}, ADVICE
