"""Which switches cannot stand together or have a value that cannot be."""

from espnet_ext.experiments.catalogue import load_catalogue
from espnet_ext.experiments.switches import Switches, refuse


def check_switches(name: str, switches: Switches) -> None:
    """Refuse values and combinations that cannot be.

    Raises:
        OptionError: Says which tokens, and what would be right.
    """
    catalogue = load_catalogue()
    slots = {catalogue.switches[i].slot for i in switches.ids()}
    for switch_id, value in switches.values:
        switch = catalogue.switches[switch_id]
        token = switch.write(list(value) if isinstance(value, tuple) else value)
        if switch.between and not switch.between[0] <= value < switch.between[1]:
            low, high = switch.between
            raise refuse(
                name, f"{token!r} is {value}", expected=f"{low} to below {high}"
            )
        if switch.only and not set(switch.only) & set(switches.ids()):
            raise refuse(
                name,
                f"{token!r} has no meaning here",
                expected=" or ".join(switch.only),
            )
        for other in (*switch.without, *switch.excludes):
            if other in switches:
                raise refuse(
                    name,
                    f"{token!r} and {catalogue.switches[other].token!r} exclude each "
                    "other",
                    expected="one of the two",
                )
        for slot in set(switch.needs) - slots:
            options = [s.shown for s in catalogue.of_slot(slot)]
            raise refuse(
                name,
                f"{token!r} changes nothing without {slot}",
                expected=f"also one of {', '.join(dict.fromkeys(options))}",
            )
    if "family" not in slots:
        families = [s.token for s in catalogue.of_slot("family")]
        raise refuse(name, "names no model family", expected=", ".join(families))
    _check_sizes(name, switches)
    _refuse_conformer_switches(name, switches)


def _check_sizes(name: str, switches: Switches) -> None:
    layers = switches.get("num_layers", 12)
    aux = switches.slot("aux_ctc")
    for layer in aux[1] if aux else ():
        if layer > layers:
            raise refuse(
                name,
                f"auxiliary CTC on layer {layer}, but the encoder has {layers} layers",
                expected=f"layers up to {layers}",
            )
    size, heads = switches.get("model_size", 512), switches.get("num_heads", 4)
    if size % heads:
        raise refuse(
            name,
            f"model size {size} is no multiple of {heads} heads",
            expected=f"for example d{-(-size // heads) * heads}",
        )


def _refuse_conformer_switches(name: str, switches: Switches) -> None:
    """Models that are not the Conformer class have none of its switches."""
    raw = ("start", "orig", "old_moh_hybrid_conformer", "old_nick_att_conformer")
    family = switches.slot("family")
    if family is None or family[0].id not in raw:
        return
    for switch_id, value in switches.values:
        switch = load_catalogue().switches[switch_id]
        only_conformer = switch.group in ("encoder", "frontend") or switch.id in (
            "num_layers",
            "no_encoder_l2",
            "l2_weights_only",
        )
        growth = switch.slot == "regime" and switch.id != "slow_pretraining"
        only_conformer = only_conformer or growth
        if only_conformer or switch.slot == "aux_ctc":
            raise refuse(
                name,
                f"{switch.shown!r} belongs to the Conformer, not to {family[0].token}",
            )
