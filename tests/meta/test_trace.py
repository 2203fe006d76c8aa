"""Are the times of a trace's events added up by kind of layer?"""

import pytest

from cnnspec.benchmarks import trace

BODY = "while/body/_1/while/cond/then/_275/StatefulPartitionedCall/"
EVENTS = [  # name, start and length in seconds
    ("EagerLocalExecute: __inference_step_1343", 0.0, 1.0),
    ("ExecutorState::Process", 0.0, 1.0),
    ("sequential_1/conv2d_1/Relu:_MklNativeFusedConv2D", 0.0, 0.2),
    (f"{BODY}gradient_tape/sequential_1/conv2d_1_2/convolution/Conv2DBackpropFilter:Conv2DBackpropFilter", 0.2, 0.3),
    (f"{BODY}gradient_tape/sequential_1/conv2d_1/ReluGrad:ReluGrad", 0.4, 0.2),
    ("sequential_1/batch_normalization_1/moments/mean:Mean", 0.7, 0.05),
    ("adam/Sub_35:Sub", 0.7, 0.1),
    ("AddN_5:AddN", 0.9, 0.02),
]


def test_summary():
    """Milliseconds per step, by hand; overlapping time counts once, and events that are no operations are left out."""
    assert trace.summary(EVENTS, wall=1.0, steps=10) == {
        "wall clock": pytest.approx(100),
        "no operation": pytest.approx(100 - 60 - 10 - 2),
        "convolution, gradient": pytest.approx(50),
        "convolution": pytest.approx(20),
        "Adam": pytest.approx(10),
        "normalisation": pytest.approx(5),
        "loss, metrics, the rest": pytest.approx(2),
    }
