"""Cases as hypothesis draws them, and makes them smaller: every choice of the generator is one of its draws."""

from cases import Case, changed_case, fresh_case
from damage import KINDS
from hypothesis import strategies as st

randoms = st.randoms(use_true_random=False)


@st.composite
def cases(draw: st.DrawFn, kind: str | None = None) -> Case:
    """A case of any kind, or of one; most are damaged."""
    rng = draw(randoms)
    case = fresh_case(rng, kind)
    return changed_case(case, rng) if draw(st.booleans()) else case


@st.composite
def good_cases(draw: st.DrawFn) -> Case:
    """A case whose event is as a source sends it."""
    return fresh_case(draw(randoms), draw(st.sampled_from(sorted(KINDS))), undamaged=True)
