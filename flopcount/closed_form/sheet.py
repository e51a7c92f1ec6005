"""The sheet on which a closed form writes its products and weights, and the sums drawn from it.

A family's form is written once, as a list of layers; the FLOP and the parameters both follow from
that list, so that they can never tell different stories.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

Mask = Literal["none", "causal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One named part of a training step; all figures are FLOP of the whole batch."""

    name: str
    forward: int
    """FLOP of the forward pass, attention counted in full."""
    backward: int
    """FLOP of the gradients: twice the forward where input and weight both need one."""
    is_attention_score: bool = False
    """True for the products of queries with keys and of probabilities with values."""
    is_causal: bool = False
    """True for attention scores that a causal (or sliding causal) mask thins out."""
    masked_forward: int
    """The forward FLOP when only the unmasked pairs are counted; ``forward`` for other terms."""
    spare: int = 0
    """Of ``forward``, what data may leave out: choices of experts without weights."""

    @property
    def masked_backward(self) -> int:
        """The backward FLOP when only the unmasked pairs are counted."""
        if self.forward == 0:
            return 0
        return self.masked_forward * (self.backward // self.forward)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """Numbers of parameters; a tied weight counts once."""

    total: int
    active: int
    """Parameters that one token meets: all experts but the routed ones are left out."""
    total_without_embeddings: int
    """``total`` less the lookup tables (tokens, positions, token types); a tied head goes too."""
    active_without_embeddings: int
    in_products: int
    """Weights that take part in a matrix product, the output head included even when tied."""
    active_in_products: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedForm:
    """FLOP of one training step (forward and backward) and the parameters, from dimensions."""

    terms: tuple[Term, ...]
    parameters: Parameters
    tokens: int
    """Positions of the main input in the batch; the D of 6ND for one step."""
    assumptions: tuple[str, ...]
    """What the dimensions left open and how it was read, one sentence each."""

    @property
    def forward(self) -> int:
        """Model FLOP of the forward pass, attention in full."""
        return sum(term.forward for term in self.terms)

    @property
    def backward(self) -> int:
        """Model FLOP of the backward pass, attention in full."""
        return sum(term.backward for term in self.terms)

    @property
    def total(self) -> int:
        """Model FLOP of forward and backward, attention in full."""
        return self.forward + self.backward

    @property
    def attention_flop(self) -> int:
        """Forward and backward FLOP of the scores under a causal mask: what the mask halves."""
        return sum(t.forward + t.backward for t in self.terms if t.is_causal)

    @property
    def masked_forward(self) -> int:
        """Forward FLOP with only the pairs that the causal and sliding masks leave."""
        return sum(term.masked_forward for term in self.terms)

    @property
    def masked_total(self) -> int:
        """Forward and backward FLOP with only the pairs that the masks leave."""
        return sum(term.masked_forward + term.masked_backward for term in self.terms)

    @property
    def six_nd(self) -> int:
        """6 x total parameters x tokens: the rule of thumb to the letter, experts all counted."""
        return 6 * self.parameters.total * self.tokens

    @property
    def six_nd_active(self) -> int:
        """6 x active parameters x tokens; differs from ``six_nd`` for a mixture of experts."""
        return 6 * self.parameters.active * self.tokens

    @property
    def by_name(self) -> dict[str, Term]:
        """The terms by name, for whoever looks for one."""
        return {term.name: term for term in self.terms}


@dataclass(frozen=True, slots=True)
class _Weight:
    total: int
    active: int
    embedding: bool = False
    product: bool = False
    stored: bool = True


@dataclass(slots=True)
class Sheet:
    """Collects the layers of one model. ``times`` everywhere is the number of equal layers."""

    terms: list[Term] = field(default_factory=list)
    weights: list[_Weight] = field(default_factory=list)
    shared: bool = False
    """True where all layers of a kind use the same weights (ALBERT): stored once, used by each."""
    passes: int = 1
    """How often one forward pass goes through what is entered now (looped layers): stored once."""

    def linear(
        self,
        name: str,
        inputs: int,
        outputs: int,
        positions: int,
        *,
        times: int = 1,
        stored: int | None = None,
        active: int | None = None,
        bias: bool = False,
        tied: bool = False,
        input_gradient: bool = True,
        fewest: int | None = None,
    ) -> None:
        """Multiply ``positions`` rows by an ``inputs`` x ``outputs`` weight in each of the layers.

        Args:
            name: the term's name.
            inputs: width of a row.
            outputs: width of the result.
            positions: rows that pass through each weight (batch x sequence, x experts per token).
            times: layers that hold such a weight.
            stored: weights stored over all layers, one for each unless experts multiply them.
            active: weights that one token meets over all layers, as stored unless routed.
            bias: whether each weight has a bias of ``outputs`` numbers (no product).
            tied: the weight is stored elsewhere (a tied output head).
            input_gradient: False where the input is data: the backward then costs once, not twice.
            fewest: rows that pass at least, where ``positions`` is the most that data may send.
        """
        forward = 2 * inputs * outputs * positions * times
        spare = 0 if fewest is None else 2 * inputs * outputs * (positions - fewest) * times
        self.product(name, forward, gradients=2 if input_gradient else 1, spare=spare)
        own = min(times, 1) if self.shared else times
        stored = own if stored is None else stored
        active = own if active is None else active
        size = inputs * outputs
        self.weights.append(_Weight(size * stored, size * active, product=True, stored=not tied))
        if bias:
            self.vector(outputs, times=stored, active=active)

    def product(self, name: str, forward: int, *, gradients: int = 2, spare: int = 0) -> None:
        """Enter a product without a weight of its own, with that many products of gradients."""
        forward *= self.passes
        if forward:
            self.terms.append(
                Term(
                    name=name,
                    forward=forward,
                    backward=gradients * forward,
                    masked_forward=forward,
                    spare=spare * self.passes,
                )
            )

    def scores(
        self,
        name: str,
        *,
        batch: int,
        heads: int,
        width: int,
        queries: int,
        keys: int,
        times: int = 1,
        mask: Mask = "none",
        window: int | None = None,
        block: int = 1,
    ) -> None:
        """Enter query-key or probability-value products of ``width`` numbers per pair and head."""
        if times == 0 or heads == 0:
            return
        per_pair = 2 * batch * heads * width * times * self.passes
        pairs = causal_pairs(queries, window) if mask == "causal" else queries * keys
        if mask == "causal" and block > 1:
            pairs = block_pairs(queries, block)
        if mask == "none" and window is not None:
            pairs = pairs_on_both_sides(queries, window)
        self.terms.append(
            Term(
                name=name,
                forward=per_pair * queries * keys,
                backward=2 * per_pair * queries * keys,
                is_attention_score=True,
                is_causal=mask == "causal",
                masked_forward=per_pair * pairs,
            )
        )

    def vector(self, size: int, *, times: int = 1, active: int | None = None) -> None:
        """Store ``times`` vectors that take part in no matrix product (norms, biases)."""
        own = min(times, 1) if self.shared else times
        self.weights.append(_Weight(size * own, size * (own if active is None else active)))

    def table(self, rows: int, width: int) -> None:
        """Store a lookup table (tokens, positions, token types)."""
        self.weights.append(_Weight(rows * width, rows * width, embedding=True))

    def close(self, *, tokens: int, assumptions: tuple[str, ...] = ()) -> ClosedForm:
        """Draw the sums."""
        stored = [w for w in self.weights if w.stored]
        return ClosedForm(
            terms=tuple(_added_up(self.terms)),
            tokens=tokens,
            assumptions=assumptions,
            parameters=Parameters(
                total=sum(w.total for w in stored),
                active=sum(w.active for w in stored),
                total_without_embeddings=sum(w.total for w in stored if not w.embedding),
                active_without_embeddings=sum(w.active for w in stored if not w.embedding),
                in_products=sum(w.total for w in self.weights if w.product),
                active_in_products=sum(w.active for w in self.weights if w.product),
            ),
        )


def _added_up(terms: list[Term]) -> list[Term]:
    """One term of each name: layers that differ enter theirs one after another."""
    found: dict[tuple[str, bool], Term] = {}
    for term in terms:
        key = (term.name, term.is_causal)
        if key in found:
            term = replace(
                term,
                forward=found[key].forward + term.forward,
                backward=found[key].backward + term.backward,
                masked_forward=found[key].masked_forward + term.masked_forward,
                spare=found[key].spare + term.spare,
            )
        found[key] = term
    return list(found.values())


def causal_pairs(sequence: int, window: int | None = None) -> int:
    """Query-key pairs under a causal mask: each position sees itself and what came before.

    With a window of w positions, the sum of min(i, w) for i = 1 .. sequence.
    """
    if window is None or window >= sequence:
        return sequence * (sequence + 1) // 2
    return window * (window + 1) // 2 + (sequence - window) * window


def block_pairs(sequence: int, block: int) -> int:
    """Query-key pairs where each position sees its own block to the end, and all blocks before it."""
    blocks, rest = divmod(sequence, block)
    return block * block * blocks * (blocks + 1) // 2 + rest * sequence


def pairs_on_both_sides(sequence: int, side: int) -> int:
    """Query-key pairs where each position sees itself and ``side`` others before and behind it."""
    return 2 * causal_pairs(sequence, side + 1) - sequence
