"""Memory of large results: kept for the next ones, never used twice at once, and the system's whenever it wants it."""

from __future__ import annotations

import copy
import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

import spectrans
from spectrans import functional

pytestmark = [
    pytest.mark.skipif(not spectrans.info()["libraries"]["ops_cpu"]["loaded"], reason="there are no kernels"),
    pytest.mark.skipif(os.environ.get("SPECTRANS_NATIVE") == "0", reason="the kernels are not those of the CPU"),
    pytest.mark.skipif(sys.platform != "linux", reason="memory is kept on Linux"),
    pytest.mark.skipif(torch.__version__ < "2.11", reason="torch 2.10 makes no tensor of somebody's memory"),
]

SHAPE = (1, 4096, 2304)  # 36 MiB of float32


def mixed(x: Tensor) -> Tensor:
    return functional.fourier_mixing(x)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(SHAPE)


def test_memory_of_a_result_is_that_of_the_one_before(x: Tensor) -> None:
    result = mixed(x)
    expected, address = result.clone(), result.data_ptr()
    del result
    again = mixed(x)
    assert again.data_ptr() == address
    assert torch.equal(again, expected)


def test_memory_in_use_is_not_given_away(x: Tensor) -> None:
    first = mixed(x)
    expected = first.clone()
    view = first[0, 1:]
    del first  # its memory is that of the view
    others = [mixed(-x) for _ in range(3)]
    assert len({view.data_ptr() - 4 * SHAPE[2], *(other.data_ptr() for other in others)}) == 4
    assert torch.equal(view, expected[0, 1:])
    assert all(torch.equal(other, -expected) for other in others)


def test_threads_share_nothing(x: Tensor) -> None:
    expected = mixed(x)

    def differences(k: int) -> int:
        return sum(not torch.equal(mixed(x * 2**k), expected * 2**k) for _ in range(4))

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(differences, range(4))) == 0


def test_such_a_tensor_is_one_like_any_other(x: Tensor) -> None:
    result = mixed(x)
    expected = result.clone()
    assert (result.device, result.dtype, result.is_contiguous()) == (x.device, x.dtype, True)
    assert torch.equal(copy.deepcopy(result), expected)
    assert torch.equal(torch.from_numpy(result.numpy()), expected)
    file = io.BytesIO()
    torch.save(result, file)
    file.seek(0)
    assert torch.equal(torch.load(file), expected)
    assert torch.equal(result.resize_(7), expected.flatten()[:7])
    shared = mixed(x).share_memory_()
    assert shared.is_shared()
    assert torch.equal(shared, expected)


def python(code: str, keep: str) -> subprocess.CompletedProcess[str]:
    code = f"import torch, spectrans\nfrom spectrans.functional import fourier_mixing\nx = torch.randn({SHAPE})\n{code}"
    environment = {**os.environ, "SPECTRANS_KEEP_MIB": keep}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("keep", "resizable"), [("0", True), ("35", True), ("36", False)])
def test_what_is_not_kept_is_memory_of_torch(keep: str, resizable: bool) -> None:
    done = python("print(fourier_mixing(x).untyped_storage().resizable())", keep)
    assert (done.stdout, done.stderr) == (f"{resizable}\n", "")


def test_no_more_is_kept_than_the_limit() -> None:
    done = python(
        """
def mapped():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmSize"))
results = [fourier_mixing(x) for _ in range(4)]
before = mapped()
del results
print(round((before - mapped()) / 36))
""",
        "80",
    )
    assert (done.stdout, done.stderr) == ("2\n", "")


def test_kept_memory_is_given_up_where_there_is_no_other() -> None:
    done = python(
        """
import resource
torch.set_num_threads(1)
larger = torch.ones(1, 8192, 2304)
fourier_mixing(larger[:, :16, :8], 1)
with open("/proc/self/status") as status:
    mapped = next(int(line.split()[1]) << 10 for line in status if line.startswith("VmSize"))
resource.setrlimit(resource.RLIMIT_AS, (mapped + (4 * 36 << 20), resource.RLIM_INFINITY))
results = [fourier_mixing(x, 1) for _ in range(3)]
del results
print(tuple(fourier_mixing(larger, 1).shape))
""",
        "1024",
    )
    assert (done.stdout, done.stderr) == ("(1, 8192, 2304)\n", "")


def test_a_child_process_has_memory_of_its_own() -> None:
    done = python(
        """
import os
torch.set_num_threads(1)
result = fourier_mixing(x)
expected = result.clone()
del result
if os.fork() == 0:
    mine = fourier_mixing(-x)
    os._exit(0 if torch.equal(mine, -expected) else 1)
result = fourier_mixing(x)
print(os.waitstatus_to_exitcode(os.wait()[1]), torch.equal(result, expected))
""",
        "1024",
    )
    assert (done.stdout, done.stderr) == ("0 True\n", "")


@pytest.mark.parametrize("keep", ["-1", "12 MiB"])
def test_what_is_no_number_is_named(keep: str) -> None:
    done = python("print(fourier_mixing(x).untyped_storage().resizable())", keep)
    assert done.stdout == "False\n"
    assert done.stderr == f"spectrans: SPECTRANS_KEEP_MIB must be a number of MiB, got {keep!r}; keeping 1024\n"
