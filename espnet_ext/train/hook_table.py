"""Which hooks there are, in the order of their calls; the import fills the table.

A rollback comes before the comparison of networks, so that both leave one reset.
"""

from espnet_ext.train.hooks import HOOKS
from espnet_ext.train.optimizer_reset import optimizer_reset_hook
from espnet_ext.train.regularisation import used_entries_hook, weight_decay_hook
from espnet_ext.train.rollback import kept_checkpoints_hook, rollback_hook
from espnet_ext.train.scores import score_key_hook

HOOKS.update(
    {
        "score_key": score_key_hook,
        "rollback": rollback_hook,
        "optimizer_reset": optimizer_reset_hook,
        "used_entries": used_entries_hook,
        "weight_decay": weight_decay_hook,
        "kept_checkpoints": kept_checkpoints_hook,
    }
)
