"""Options of ESPnet's own model class that would have no effect in ours."""

from typing import Any, Dict

# and the values they must keep
IGNORED: Dict[str, Any] = {
    **{"interctc_weight": 0.0, "lsm_weight": 0.0, "length_normalized_loss": False},
    **{"report_cer": False, "report_wer": False, "ignore_id": -1, "lang_token_id": -1},
    **{"sym_space": "<space>", "sym_blank": "<blank>"},
    **{"sym_sos": "<sos/eos>", "sym_eos": "<sos/eos>"},
    **{"transducer_multi_blank_durations": [], "transducer_multi_blank_sigma": 0.05},
}


def without_ignored(options: Dict[str, Any]) -> Dict[str, Any]:
    """Arguments of ESPnetASRModel, those of ``IGNORED`` at their values.

    Raises:
        ValueError: One of them has another value.
    """
    for name, value in IGNORED.items():
        if options.get(name, value) != value:
            raise ValueError(
                f"{name} {options[name]!r} has no effect in this model: expected "
                f"{value!r} or nothing; see label_smoothing, aux_ctc and "
                "loss_reduction for what there is in its place"
            )
    return {**options, **IGNORED}
