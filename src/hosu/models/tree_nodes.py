"""Trees of any library as flat arrays, the form in which they are written to ONNX.

Thresholds and leaves stay float64, and are compared as float64 where they are served: a converter that rounds them to
float32 sends a feature that lies between a threshold and its rounded form down the other branch, and then the two
models differ by a whole leaf, however small the tolerance. scikit-learn's own trees see features rounded to float32;
those say so (``rounds``), and what serves them rounds the features first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from hosu.features.panel import Floats

_ZERO: Final = 1.0000000180025095e-35
"""LightGBM takes what lies no further than this from 0 for 0, and splits beside 0 at plus or minus this."""


@dataclass(slots=True)
class Nodes:
    """An ensemble that adds up the leaves its trees end in; one entry a node, all trees behind each other.

    Attributes:
        outputs: how many sums are formed.
        rounds: whether features are rounded to float32 first.
        tree, node: number of the tree, and of the node within it.
        feature: what is looked at; 0 of a leaf.
        threshold: goes left where the feature is at most this; 0.0 of a leaf.
        left, right: nodes of the same tree; 0 of a leaf.
        leaf: whether it is one.
        leaves: (tree, node, output, what is added) of each leaf.
    """

    outputs: int
    rounds: bool = False
    tree: list[int] = field(default_factory=list)
    node: list[int] = field(default_factory=list)
    feature: list[int] = field(default_factory=list)
    threshold: list[float] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    leaf: list[bool] = field(default_factory=list)
    leaves: list[tuple[int, int, int, float]] = field(default_factory=list)

    def add(self, tree: int, node: int, split: tuple[int, float, int, int] | None) -> None:
        """Adds a node: feature, threshold, left, right; None is a leaf."""
        feature, threshold, left, right = split or (0, 0.0, 0, 0)
        self.tree.append(tree)
        self.node.append(node)
        self.feature.append(feature)
        self.threshold.append(threshold)
        self.left.append(left)
        self.right.append(right)
        self.leaf.append(split is None)

    @property
    def trees(self) -> int:
        """How many trees there are."""
        return len(set(self.tree))

    @property
    def depth(self) -> int:
        """Comparisons on the longest way."""
        deepest: dict[tuple[int, int], int] = {}
        for at in range(len(self.tree)):  # parents stand before their children
            here = deepest.get((self.tree[at], self.node[at]), 0)
            if not self.leaf[at]:
                deepest[self.tree[at], self.left[at]] = deepest[self.tree[at], self.right[at]] = here + 1
        return max(deepest.values(), default=0)


def of_booster(booster: Any, outputs: int) -> Nodes:
    """LightGBM's trees; every ``outputs``-th belongs to the same sum. A forest's leaves are divided by their number."""
    told = booster.dump_model()
    nodes = Nodes(outputs)
    infos = told["tree_info"]
    share = len(infos) // outputs if told["average_output"] else 1
    for number, info in enumerate(infos):
        _grow(nodes, number, info["tree_structure"], number % outputs, share)
    return nodes


def _grow(nodes: Nodes, tree: int, root: dict[str, Any], output: int, share: int) -> None:
    waiting, following = [(0, root)], 1
    while waiting:
        node, told = waiting.pop()
        if "leaf_value" in told:
            nodes.add(tree, node, None)
            nodes.leaves.append((tree, node, output, told["leaf_value"] / share))
            continue
        left, right, following = following, following + 1, following + 2
        nodes.add(tree, node, (told["split_feature"], _edge(told["threshold"]), left, right))
        waiting += [(right, told["right_child"]), (left, told["left_child"])]


def _edge(threshold: float) -> float:
    """The same split of numbers of which minus ``_ZERO`` is not taken for 0: it goes right, as 0 does."""
    return float(np.nextafter(threshold, -1.0)) if threshold == -_ZERO else threshold


def of_forest(forest: Any, places: list[int], outputs: int) -> Nodes:
    """scikit-learn's trees, averaged.

    Args:
        forest: a fitted one.
        places: to which output each of its values belongs: the classes it has seen, or ``[0]`` of a regression.
        outputs: how many there are.
    """
    nodes = Nodes(outputs, rounds=True)
    grown = [each.tree_ for each in forest.estimators_]
    for number, tree in enumerate(grown):
        value = _leaf_values(tree.value[:, 0, :], is_shares=len(places) > 1) / len(grown)
        for node in range(tree.node_count):
            left, right = int(tree.children_left[node]), int(tree.children_right[node])
            if left < 0:
                nodes.add(number, node, None)
                nodes.leaves += [(number, node, place, float(value[node, at])) for at, place in enumerate(places)]
            else:
                nodes.add(number, node, (int(tree.feature[node]), float(tree.threshold[node]), left, right))
    return nodes


def _leaf_values(value: Floats, *, is_shares: bool) -> Floats:
    return value / value.sum(axis=1, keepdims=True) if is_shares else np.asarray(value)
