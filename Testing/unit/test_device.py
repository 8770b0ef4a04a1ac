import pytest
import torch

from BATNetLib.device import Plan, available_devices, choose_device, is_out_of_memory, run_in_batches
from BATNetLib.errors import UsageError
from BATNetLib.events import Events


def test_a_device_that_is_not_there_is_refused_and_never_replaced():
    if torch.cuda.is_available():
        pytest.skip("this computer has CUDA")
    with pytest.raises(UsageError, match="cuda") as caught:
        choose_device("cuda")
    assert caught.value.code == "device-missing"


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cpu:1", "", "tpu"])
def test_an_unknown_device_is_refused_with_the_known_ones(name):
    with pytest.raises(UsageError, match="auto, cuda, cuda:N, mps and cpu"):
        choose_device(name)


def test_auto_takes_the_best_device_here():
    assert choose_device("auto").type == available_devices()[0].split(":")[0]
    assert choose_device("cpu").type == "cpu"


def test_memory_running_out_steps_down_by_batch_then_precision_then_device_and_says_so():
    plan = Plan(torch.device("cuda"), batch=4)
    ways, done, events = [], [], Events()

    def compute(group, plan):
        ways.append((plan.device.type, plan.precision, len(group)))
        if plan.device.type == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory")
        done.extend(group)

    run_in_batches(range(3), compute, plan, events, lambda n: None)
    assert ways == [
        ("cuda", "float32", 3),
        ("cuda", "float32", 2),
        ("cuda", "float32", 1),
        ("cuda", "float16", 1),
        ("cpu", "float32", 1),
        ("cpu", "float32", 1),
        ("cpu", "float32", 1),
    ]
    assert done == [0, 1, 2]
    assert plan.path == [
        "Memory ran out on cuda, went on with batches of 2.",
        "Memory ran out on cuda, went on with batches of 1.",
        "Memory ran out on cuda, went on in half precision.",
        "Memory ran out on cuda, went on with the CPU.",
    ]
    assert [w["text"] for w in events.warnings] == plan.path


def test_no_item_is_lost_or_done_twice_when_memory_runs_out_in_the_middle():
    plan, done, failed = Plan(torch.device("cpu"), batch=4), [], []

    def compute(group, plan):
        if group[0] == 4 and len(group) > 2:
            failed.append(list(group))
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        done.extend(group)

    run_in_batches(range(10), compute, plan, Events(), lambda n: None)
    assert done == list(range(10)) and failed == [[4, 5, 6, 7]]


def test_a_single_item_that_does_not_fit_on_the_cpu_is_a_memory_error():
    def compute(group, plan):
        raise MemoryError

    with pytest.raises(MemoryError):
        run_in_batches(range(2), compute, Plan(torch.device("cpu"), 1), Events(), lambda n: None)


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    assert not is_out_of_memory(RuntimeError("shape mismatch"))
    assert not is_out_of_memory(ValueError("out of memory"))

    def compute(group, plan):
        raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape"):
        run_in_batches(range(2), compute, Plan(torch.device("cpu"), 1), Events(), lambda n: None)
