"""The scorer as an ONNX graph: rows of users in, scores of the whole catalog out (extra `onnx`).

The experts are weighed by a softmax over them, not by the ratio of two products: slower for
thousands of users, but nothing can underflow where a user's and an item's gates oppose each other.

Axes: n users of a call, U users, I items, E experts, D size.
"""

import json
from pathlib import Path

import numpy as np

from cigf.errors import ConfigError, MissingExtraError, OutputError
from cigf.inference.export_factors import ExportedFactors, Floats

try:
    import onnxruntime
    from onnx import ModelProto, TensorProto, checker, helper, numpy_helper, save_model
except ImportError as error:
    raise MissingExtraError(error.name or "onnx", "onnx", "exporting to ONNX") from None

OPSET, IR_VERSION = 17, 8
"""Old enough for runtimes of the last years."""
LARGEST = 2**31 - 2**20
"""Bytes; a file of ONNX holds 2 GB."""
TOLERANCE = 1e-5
"""Largest difference from our scores, as a share of the largest score."""
CHECKED = 64


def save_scorer(factors: ExportedFactors, path: Path) -> None:
    """Write the graph: input `users` (n,) of row numbers, output `scores` (n, I).

    Its metadata hold what `ExportFacts` do, and `user_ids` and `item_ids` as JSON, in the order of
    the rows.

    Raises:
        ConfigError: The factors do not fit into one file.
    """
    model = _model(factors)
    if model.ByteSize() > LARGEST:
        raise ConfigError(
            f"the scorer takes {model.ByteSize() / 1e9:.1f} GB, and an ONNX file holds 2; "
            "export the factors as parquet or safetensors"
        )
    checker.check_model(model)
    save_model(model, path)


def _model(factors: ExportedFactors) -> ModelProto:
    facts = factors.facts
    constants = {
        "x": factors.users,
        "y": np.ascontiguousarray(factors.items.transpose(1, 2, 0) * np.float32(facts.scale)),
        "bias": factors.item_bias,
    }
    nodes = [
        helper.make_node("Gather", ["x", "users"], ["mine"], axis=0),  # (n, E, D)
        helper.make_node("Transpose", ["mine"], ["mine_by_expert"], perm=[1, 0, 2]),
        helper.make_node("MatMul", ["mine_by_expert", "y"], ["products"]),  # (E, n, I)
    ]
    summed = "products"
    if facts.n_experts > 1:
        constants |= {
            "p": factors.user_gates[:, :, None],
            "q": np.ascontiguousarray(factors.item_gates.T)[:, None],  # (E, 1, I)
        }
        nodes += [
            helper.make_node("Gather", ["p", "users"], ["gates"], axis=0),  # (n, E, 1)
            helper.make_node("Transpose", ["gates"], ["gates_by_expert"], perm=[1, 0, 2]),
            helper.make_node("Add", ["gates_by_expert", "q"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["weights"], axis=0),
            helper.make_node("Mul", ["weights", "products"], ["weighed"]),
        ]
        summed = "weighed"
    nodes += [
        helper.make_node("ReduceSum", [summed, "experts"], ["raw"], keepdims=0),
        helper.make_node("Add", ["raw", "bias"], ["scores"]),
    ]
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    initializers.append(numpy_helper.from_array(np.array([0], np.int64), "experts"))
    graph = helper.make_graph(
        nodes,
        "cigf",
        [helper.make_tensor_value_info("users", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", facts.n_items])],
        initializers,
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="cigf",
    )
    helper.set_model_props(
        model,
        {
            "cigf": json.dumps(json.loads(facts.to_json())),
            "user_ids": json.dumps(factors.user_ids.ids.to_list()),
            "item_ids": json.dumps(factors.item_ids.ids.to_list()),
        },
    )
    return model


def check_scorer(factors: ExportedFactors, path: Path) -> None:
    """Compare the graph's scores of some users, in onnxruntime, with the formula's.

    Raises:
        OutputError: They differ by more than rounding.
    """
    users = np.unique(np.linspace(0, factors.facts.n_users - 1, CHECKED).astype(np.int64))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run(["scores"], {"users": users})[0]
    expected = np.stack([_formula(factors, user) for user in users])
    largest = float(np.abs(expected).max(initial=0.0))
    difference = float(np.abs(found - expected).max(initial=0.0))
    if not difference <= TOLERANCE * largest:
        raise OutputError(
            f"{path}: onnxruntime's scores differ from ours by {difference:.3g} where the largest "
            f"is {largest:.3g}; nothing was written. Try another version of onnxruntime"
        )


def _formula(factors: ExportedFactors, user: np.int64) -> Floats:
    """Return a user's scores by the formula, shape (I,)."""
    logits = factors.user_gates[user] + factors.item_gates
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    products = (factors.users[user] * factors.items).sum(axis=2)
    scores: Floats = factors.facts.scale * (weights * products).sum(axis=1) + factors.item_bias
    return scores
