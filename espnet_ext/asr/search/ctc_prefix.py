"""CTC probabilities of label prefixes, for all hypotheses and labels at once.

For a prefix h, r_n(t) and r_b(t) are the log-probabilities of all alignments of h in
the frames up to t that end in its last label or in blank. With one more label k,

    r_n'(t) = log(e^{r_n'(t-1)} + e^{phi(t-1)}) + log p_t(k)
    r_b'(t) = log(e^{r_b'(t-1)} + e^{r_n'(t-1)}) + log p_t(blank)
    psi(h k) = log sum_t e^{phi(t-1) + log p_t(k)}

where phi(t) is r_b(t), or r_b(t) + r_n(t) (as probabilities) if k is not h's last
label; psi is the probability that the label sequence begins with h k.

Ref: Watanabe et al. 2017, Algorithm 2.
"""

# Dimensions: B batch, K hypotheses, N = B K rows, T frames, V vocabulary, blank first
import torch

from espnet_ext.asr.search.recombination import DEAD, log_add


class CtcPrefixScores:
    """The recursion in the state of one search.

    Args:
        log_probs_BTV: CTC output.
        lengths_B: Valid frames.
        beam: K.
    """

    def __init__(self, log_probs_BTV, lengths_B, beam: int, blank: int = 0):
        batch, frames, self.vocabulary = log_probs_BTV.shape
        lengths_B = lengths_B.to(log_probs_BTV.device)
        self.log_probs_BTV = log_probs_BTV.double()
        places_T = torch.arange(frames, device=log_probs_BTV.device)
        self.valid_BT = places_T < lengths_B.unsqueeze(1)
        self.last_B = lengths_B - 1
        self.beam, self.blank = beam, blank
        # of the empty prefix; [B, K, T + 1] with the state before the first frame
        blanks_BT = self.log_probs_BTV[:, :, blank].cumsum(1)
        ends_b = torch.nn.functional.pad(blanks_BT, (1, 0))
        self.ends_b = ends_b.unsqueeze(1).expand(batch, beam, -1).contiguous()
        self.ends_n = torch.full_like(self.ends_b, DEAD)
        self.labels_BK = torch.full((batch, beam), -1, device=log_probs_BTV.device)

    def _last(self, x_BKT: torch.Tensor) -> torch.Tensor:
        place = (self.last_B + 1).view(-1, 1, 1).expand(-1, self.beam, 1)
        return x_BKT.gather(2, place).squeeze(2)

    def scores(self, end: int) -> torch.Tensor:
        """psi [B, K, V] of each next label; at ``end`` the probability of exactly h."""
        total = log_add(self.ends_b, self.ends_n)[:, :, :-1]
        masked = ~self.valid_BT.unsqueeze(1)
        phi = total.masked_fill(masked, DEAD)
        psi = _log_matmul(phi, self.log_probs_BTV)
        repeated = self.ends_b[:, :, :-1].masked_fill(masked, DEAD)
        label = self.labels_BK.clamp(min=0)
        emitted = self.log_probs_BTV.gather(
            2, label.unsqueeze(1).expand(-1, self.log_probs_BTV.size(1), -1)
        ).transpose(1, 2)
        again = (repeated + emitted).logsumexp(dim=2)
        has_label = self.labels_BK >= 0
        own = psi.gather(2, label.unsqueeze(2)).squeeze(2)
        again = torch.where(has_label, again, own)
        psi = psi.scatter(2, label.unsqueeze(2), again.unsqueeze(2))
        psi[:, :, self.blank] = DEAD
        psi[:, :, end] = self._last(log_add(self.ends_b, self.ends_n))
        return psi

    def advance(self, rows_N: torch.Tensor, labels_N: torch.Tensor) -> None:
        """Row n becomes old row ``rows_N[n]`` with one more label."""
        shape = self.labels_BK.shape
        ends_b = self.ends_b.flatten(0, 1)[rows_N].view_as(self.ends_b)
        ends_n = self.ends_n.flatten(0, 1)[rows_N].view_as(self.ends_n)
        before = self.labels_BK.flatten()[rows_N].view(shape)
        labels_BK = labels_N.view(shape)
        same = (labels_BK == before).unsqueeze(2)
        phi = torch.where(same, ends_b, log_add(ends_b, ends_n))
        new_b, new_n = torch.full_like(ends_b, DEAD), torch.full_like(ends_n, DEAD)
        index = labels_BK.unsqueeze(1).expand(-1, self.log_probs_BTV.size(1), -1)
        emitted_BTK = self.log_probs_BTV.gather(2, index)
        for t in range(self.log_probs_BTV.size(1)):
            blank = self.log_probs_BTV[:, t, self.blank].unsqueeze(1)
            new_b[:, :, t + 1] = log_add(new_b[:, :, t], new_n[:, :, t]) + blank
            new_n[:, :, t + 1] = (
                log_add(new_n[:, :, t], phi[:, :, t]) + emitted_BTK[:, t]
            )
        self.ends_b, self.ends_n, self.labels_BK = new_b, new_n, labels_BK


def _log_matmul(a_BKT: torch.Tensor, b_BTV: torch.Tensor) -> torch.Tensor:
    """log sum_t e^{a + b}, [B, K, V], by a product of scaled probabilities.

    What is 700 below the largest term of its row or column is lost, which float64 does
    not see either.
    """
    scale_a = a_BKT.amax(dim=2, keepdim=True).clamp(min=-1e300)
    scale_b = b_BTV.amax(dim=1, keepdim=True).clamp(min=-1e300)
    product = (a_BKT - scale_a).exp() @ (b_BTV - scale_b).exp()
    return product.log() + scale_a + scale_b
