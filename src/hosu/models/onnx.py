"""Models as ONNX, and ONNX Runtime sessions that answer for them. The only door to onnx and onnxruntime.

A graph takes ``features`` (n, k) float64 and gives ``answer`` (n, outputs) float32. Everything before the answer is
reckoned in float64, features included: see ``tree_nodes``. The graphs are written here, node by node, since the
converters of the libraries cannot be told to (they write float32 thresholds).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hosu.errors import ModelDamagedError
from hosu.models.extra import extra

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hosu.features.panel import Floats
    from hosu.models.tree_nodes import Nodes

_OPSETS: Final = (("", 17), ("ai.onnx.ml", 3))
_IR: Final = 8
IN, OUT = "features", "answer"


def tree_graph(nodes: Nodes, width: int, *, softmax: bool) -> bytes:
    """An ensemble of trees.

    Args:
        nodes: the trees.
        width: how many features there are.
        softmax: whether the sums become probabilities.

    Raises:
        NotInstalledError: onnx is missing.
    """
    with extra():
        from onnx import helper

    rounding = _rounding(helper) if nodes.rounds else []
    trees = _ensemble(helper, nodes, "seen" if nodes.rounds else IN, "sums" if softmax else OUT)
    ending = [helper.make_node("Softmax", ["sums"], [OUT], axis=1)] if softmax else []
    return _model([*rounding, trees, *ending], [], width, nodes.outputs)


def _rounding(helper: Any) -> list[Any]:
    from onnx import TensorProto

    return [
        helper.make_node("Cast", [IN], ["rounded"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["rounded"], ["seen"], to=TensorProto.DOUBLE),
    ]


def _ensemble(helper: Any, nodes: Nodes, given: str, sums: str) -> Any:
    from onnx import numpy_helper

    tree, node, output, added = (list(each) for each in zip(*nodes.leaves, strict=True))
    return helper.make_node(
        "TreeEnsembleRegressor",
        [given],
        [sums],
        domain="ai.onnx.ml",
        n_targets=nodes.outputs,
        aggregate_function="SUM",
        nodes_treeids=nodes.tree,
        nodes_nodeids=nodes.node,
        nodes_featureids=nodes.feature,
        nodes_modes=["LEAF" if leaf else "BRANCH_LEQ" for leaf in nodes.leaf],
        nodes_truenodeids=nodes.left,
        nodes_falsenodeids=nodes.right,
        nodes_values_as_tensor=numpy_helper.from_array(np.array(nodes.threshold), "thresholds"),
        target_treeids=tree,
        target_nodeids=node,
        target_ids=output,
        target_weights_as_tensor=numpy_helper.from_array(np.array(added), "leaves"),
    )


def plane_graph(
    *, mean: Floats, deviation: Floats, clip: float, coefficients: Floats, intercepts: Floats, softmax: bool
) -> bytes:
    """Planes over standardized features.

    Args:
        mean, deviation: (k,) of each feature.
        clip: standard deviations a feature counts at most.
        coefficients: (outputs, k).
        intercepts: (outputs,).
        softmax: whether the heights become probabilities.

    Raises:
        NotInstalledError: onnx is missing.
    """
    with extra():
        from onnx import TensorProto, helper, numpy_helper

    constants = {
        "mean": mean,
        "deviation": deviation,
        "lowest": np.array(-clip),
        "highest": np.array(clip),
        "coefficients": np.ascontiguousarray(coefficients.T),
        "intercepts": intercepts,
    }
    steps = [
        helper.make_node("Sub", [IN, "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "deviation"], ["scaled"]),
        helper.make_node("Clip", ["scaled", "lowest", "highest"], ["clipped"]),
        helper.make_node("MatMul", ["clipped", "coefficients"], ["slope"]),
        helper.make_node("Add", ["slope", "intercepts"], ["height"]),
    ]
    last = "height"
    if softmax:
        steps.append(helper.make_node("Softmax", ["height"], ["likely"], axis=1))
        last = "likely"
    steps.append(helper.make_node("Cast", [last], [OUT], to=TensorProto.FLOAT))
    held = [numpy_helper.from_array(np.asarray(value, np.float64), name) for name, value in constants.items()]
    return _model(steps, held, len(mean), len(intercepts))


def constant_graph(answer: Floats, width: int) -> bytes:
    """The same answer (outputs,) for every row.

    Raises:
        NotInstalledError: onnx is missing.
    """
    flat = np.zeros((len(answer), width))
    none, one = np.zeros(width), np.ones(width)
    return plane_graph(mean=none, deviation=one, clip=1.0, coefficients=flat, intercepts=answer, softmax=False)


def _model(steps: Sequence[Any], held: Sequence[Any], width: int, outputs: int) -> bytes:
    from onnx import TensorProto, checker, helper

    given = helper.make_tensor_value_info(IN, TensorProto.DOUBLE, ["rows", width])
    answer = helper.make_tensor_value_info(OUT, TensorProto.FLOAT, ["rows", outputs])
    graph = helper.make_graph(list(steps), "hosu", [given], [answer], initializer=list(held))
    opsets = [helper.make_opsetid(domain, version) for domain, version in _OPSETS]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR, producer_name="hosu")
    checker.check_model(model)
    return bytes(model.SerializeToString())


class Session:
    """One ONNX model, optimised, on one thread; may be asked by one thread at a time.

    Args:
        data: the file.
        name: of the file, for errors.
        width, outputs: what it must take and give.

    Raises:
        ModelDamagedError: the file is cut off, no ONNX, or of another form than asked for.
        NotInstalledError: onnxruntime is missing.
    """

    def __init__(self, data: bytes, name: str, *, width: int, outputs: int) -> None:
        with extra():
            import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 4  # what fails is raised, and told once
        try:
            self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
            form = _form(self._session)
        except Exception as error:  # the library raises a dozen kinds, all about the file
            raise ModelDamagedError(name, f"ONNX Runtime refuses it: {_first_line(error)}") from error
        wanted = (IN, "tensor(double)", width), (OUT, "tensor(float)", outputs)
        if form != wanted:
            raise ModelDamagedError(name, f"it takes and gives {form}, not {wanted}")
        self._name = name

    def run(self, features: Floats) -> Floats:
        """(n, outputs) what the model answers; float64.

        Args:
            features: (n, k) without a null.

        Raises:
            ModelDamagedError: it fails where it runs.
        """
        try:
            (answer,) = self._session.run([OUT], {IN: np.ascontiguousarray(features, np.float64)})
        except Exception as error:  # as above
            raise ModelDamagedError(self._name, f"it fails where it runs: {_first_line(error)}") from error
        return np.asarray(answer, np.float64)


def _form(session: Any) -> tuple[tuple[str, str, Any], ...]:
    return tuple((each.name, each.type, each.shape[-1]) for each in (*session.get_inputs(), *session.get_outputs()))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
