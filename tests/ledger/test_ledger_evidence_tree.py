"""The hash tree is RFC 6962's: the vectors of Certificate Transparency, and proofs that hold for what is in the tree only."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceanon.ledger.evidence_tree import Peaks, inclusion_proof, leaf_hash, root_from

LEAVES = [leaf_hash(bytes.fromhex(data)) for data in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")]
ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
PROOFS = {
    (0, 1): (),
    (0, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (5, 8): (
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 3): ("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",),
    (1, 5): (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ),
}


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_certificate_transparency(size):
    """Of the first leaves of its test data, from none to eight."""
    assert Peaks().append(LEAVES[:size]).root.hex() == ROOTS[size]


@pytest.mark.parametrize(("place", "proof"), PROOFS.items(), ids=str)
def test_proofs_are_those_of_certificate_transparency(place, proof):
    """The same hashes in the same order, and they lead to the root."""
    index, size = place

    assert tuple(h.hex() for h in inclusion_proof(LEAVES[:size], index)) == proof
    assert root_from(LEAVES[index], index, size, [bytes.fromhex(h) for h in proof]).hex() == ROOTS[size]


@given(st.integers(1, 70), st.data())
def test_a_proof_holds_for_its_leaf_and_no_other(size, data):
    """Any tree, any leaf, appended in any two steps."""
    leaves = [leaf_hash(bytes([n])) for n in range(size)]
    index, cut = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size))
    tree = Peaks().append(leaves[:cut]).append(leaves[cut:])
    proof = inclusion_proof(leaves, index)

    assert tree == Peaks().append(leaves)
    assert root_from(leaves[index], index, size, proof) == tree.root
    assert root_from(hashlib.sha256(b"other").digest(), index, size, proof) != tree.root


@pytest.mark.parametrize(("index", "size", "proof"), [(0, 8, 2), (0, 8, 4), (8, 8, 3), (-1, 8, 3)])
def test_what_cannot_be_a_proof_is_refused(index, size, proof):
    """Too short, too long, or for a leaf that there is not."""
    with pytest.raises(ValueError):
        root_from(LEAVES[0], index, size, [LEAVES[1]] * proof)


def test_peaks_fit_their_size():
    """A state that cannot be one is refused when it is read."""
    with pytest.raises(ValueError, match="3 leaves has 2 peaks"):
        Peaks(3, (LEAVES[0],))
