"""What only a GPU shows: streams, graphs, devices, failures of a launch. Skipped without one."""

from __future__ import annotations

import threading
from collections.abc import Callable

import oracle
import pytest
import torch
from torch import Tensor

import spectrans
from spectrans import _native
from spectrans.functional import (
    energy_error,
    fft_conv,
    fourier_mixing,
    hartley_mixing,
    irfft_modes,
    orthogonality_error,
    rfft_modes,
    spectral_filter,
    spectral_filter2d,
    spectral_filter_plane,
    spectral_norm,
)

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available() or not _native.status()["ops_cuda"]["loaded"],
    reason="no CUDA device, or no CUDA kernels" if torch.version.cuda else "this torch is built without CUDA",
)

B, N, D = 6, 64, 48


def on_gpu(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    return oracle.draw(*shape, dtype=dtype, seed=seed).cuda()


def response(n: int = N, d: int = D) -> Tensor:
    return oracle.draw_response(n, d, torch.float32).cuda()


#: Of one tensor [batch, n, d] each.
CALLS: dict[str, Callable[[Tensor], Tensor]] = {
    "fourier_mixing": fourier_mixing,
    "hartley_mixing": hartley_mixing,
    "spectral_filter": lambda x: spectral_filter(x, response()),
    "spectral_filter2d": lambda x: spectral_filter2d(
        x, oracle.draw_response2d(8, N // 8, D, torch.float32).cuda(), (8, N // 8)
    ),
    "spectral_filter_plane": lambda x: spectral_filter_plane(x, torch.view_as_complex(on_gpu(N, D, 2))),
    "fft_conv": lambda x: fft_conv(x, x[0].float().contiguous(), pre_gate=x, post_gate=x),
    "rfft_modes": lambda x: torch.view_as_real(rfft_modes(x, 12)),
    "irfft_modes": lambda x: irfft_modes(rfft_modes(x, 12), N),
    "energy_error": lambda x: energy_error(x, 2 * x),
    "orthogonality_error": orthogonality_error,
    "spectral_norm": spectral_norm,
}
each_call = pytest.mark.parametrize("name", CALLS)


def test_kernels_run() -> None:
    # Of a power of two, none is handed back to torch.fft.
    for name, call in CALLS.items():
        steps = spectrans.explain(call, on_gpu(B, N, D)).steps
        assert steps and all(step.implementation == "native" for step in steps), (name, steps)


@pytest.mark.parametrize("n", [1, 11, 13 * 17, 10007])
def test_what_has_no_kernel_is_handed_back(n: int) -> None:
    x, h = on_gpu(2, n, 8, dtype=torch.float64), oracle.draw_response(n, 8).cuda()
    (step,) = spectrans.explain(spectral_filter, x, h).steps
    assert step.implementation in ("native", "reference") and step.reason
    expected = oracle.filtered(oracle.wide(x), oracle.wide(h))
    oracle.assert_close(spectral_filter(x, h), expected, n=n, magnitude=4 * oracle.norm(x), transforms=2)


@each_call
def test_the_caller_s_stream(name: str) -> None:
    # Queued behind a wait and an overwrite: on another stream it would read what was there before.
    call, fresh = CALLS[name], on_gpu(B, N, D)
    expected = call(fresh)
    x = torch.full_like(fresh, float("nan"))
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)
        x.copy_(fresh)
        result = call(x)
    stream.synchronize()
    assert torch.equal(result, expected)


@each_call
def test_two_streams_at_once(name: str) -> None:
    # Scratch that were shared, or given back too early, would mix the two up.
    call = CALLS[name]
    inputs = [on_gpu(B, N, D, seed=seed) for seed in range(2)]
    expected = [call(x) for x in inputs]
    torch.cuda.synchronize()
    streams = [torch.cuda.Stream() for _ in inputs]
    results: list[list[Tensor]] = [[], []]
    for _ in range(20):
        for stream, x, to in zip(streams, inputs, results, strict=True):
            with torch.cuda.stream(stream):
                to.append(call(x))
    torch.cuda.synchronize()
    for to, y in zip(results, expected, strict=True):
        assert all(torch.equal(t, y) for t in to)


@each_call
def test_two_threads_at_once(name: str) -> None:
    call = CALLS[name]
    inputs = [on_gpu(B, N, D, seed=seed) for seed in range(4)]
    expected = [call(x) for x in inputs]
    wrong: list[int] = []

    def work(i: int) -> None:
        with torch.cuda.stream(torch.cuda.Stream()):
            wrong.extend(i for _ in range(10) if not torch.equal(call(inputs[i]), expected[i]))

    torch.cuda.synchronize()
    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


#: With x alone as input: a captured call must not copy from the host.
CAPTURED = ("fourier_mixing", "hartley_mixing", "rfft_modes", "energy_error", "orthogonality_error", "spectral_norm")


def replays(call: Callable[[Tensor], Tensor]) -> bool:
    """Whether a captured call gives what the call itself does, for other values of x."""
    # Captured at the first call of its shape: nothing may be made then that capture forbids.
    x = on_gpu(B, N, D)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = call(x)
    same = []
    for seed in (1, 2):
        x.copy_(on_gpu(B, N, D, seed=seed))
        graph.replay()
        same.append(torch.equal(result, call(x)))
    return all(same)


@pytest.mark.parametrize("name", CAPTURED)
def test_capture_and_replay(name: str) -> None:
    assert replays(CALLS[name])


def test_capture_and_replay_of_filters_and_convolutions() -> None:
    h, h2 = response(), oracle.draw_response2d(8, N // 8, D, torch.float32).cuda()
    assert replays(lambda x: spectral_filter(x, h))
    assert replays(lambda x: spectral_filter2d(x, h2, (8, N // 8)))
    assert replays(lambda x: fft_conv(x, h2.flatten(0, 1)[:, :, 0].contiguous(), pre_gate=x, post_gate=x))


def test_capture_of_a_training_step() -> None:
    x, h = on_gpu(B, N, D).requires_grad_(), response().requires_grad_()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # torch asks for a first backward pass outside of the capture
        torch.autograd.grad(spectral_filter(x, h).square().sum(), (x, h))
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = torch.autograd.grad(spectral_filter(x, h).square().sum(), (x, h))
    with torch.no_grad():
        x.copy_(on_gpu(B, N, D, seed=1))
    graph.replay()
    eager = torch.autograd.grad(spectral_filter(x, h).square().sum(), (x, h))
    assert all(map(torch.equal, captured, eager))


@each_call
def test_does_not_wait_for_the_gpu(name: str) -> None:
    if name in ("spectral_filter", "spectral_filter2d", "spectral_filter_plane"):
        pytest.skip("the call itself copies its response from the host")
    call, x = CALLS[name], on_gpu(B, N, D)
    call(x)
    torch.cuda.set_sync_debug_mode("error")
    try:
        call(x)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.cuda.synchronize()
    busy = torch.cuda.Event()
    torch.cuda._sleep(500_000_000)  # a quarter of a second
    call(x)
    busy.record()
    assert not busy.query()


def test_device_that_is_not_the_current_one() -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("one GPU only")
    x = on_gpu(B, N, D)
    assert torch.cuda.current_device() == 0
    y = fourier_mixing(x.to("cuda:1"))
    assert y.device.index == 1 and torch.cuda.current_device() == 0
    assert torch.equal(y.to("cuda:0"), fourier_mixing(x))


def test_more_elements_than_an_int_counts() -> None:
    free, _ = torch.cuda.mem_get_info()
    batch, n, d = 2**15 + 3, 128, 512
    if free < 6 * batch * n * d * 2:
        pytest.skip("not enough memory")
    x = torch.zeros(batch, n, d, dtype=torch.bfloat16, device="cuda")
    x[-1] = on_gpu(n, d, dtype=torch.bfloat16)
    h = response(n, d)
    y = spectral_filter(x, h)
    assert torch.equal(y[-1], spectral_filter(x[-1:], h)[0]) and not y[:-1].any()
