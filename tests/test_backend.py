"""Choosing an implementation, and being told which one runs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import oracle
import pytest
import torch

import spectrans
from spectrans import _backend, _native
from spectrans.functional import fft_conv, fourier_mixing, hartley_mixing, rfft_modes, spectral_filter
from spectrans.layers.mixing import FourierMixing, GlobalFilterMixing, GlobalFilterMixing2D
from spectrans.ops import library


def current() -> str:
    return _backend.state.stack[-1]


def test_nesting_and_reuse() -> None:
    outside = current()
    torch_backend = spectrans.backend("torch")
    with torch_backend:
        with spectrans.backend("native"):
            assert current() == "native"
            with torch_backend:
                assert current() == "torch"
            assert current() == "native"
        assert current() == "torch"
    assert current() == outside


def test_is_left_behind_by_an_exception() -> None:
    outside = current()
    with pytest.raises(KeyError), spectrans.backend("torch"):
        raise KeyError
    assert current() == outside


def test_threads_choose_for_themselves() -> None:
    seen: list[str] = []
    shared = spectrans.backend("torch")
    with shared:
        thread = threading.Thread(target=lambda: seen.append(current()))
        thread.start()
        thread.join()
    assert seen == [os.environ.get("SPECTRANS_BACKEND") or "native"]


def test_repr() -> None:
    assert repr(spectrans.backend("torch")) == "spectrans.backend('torch')"


def in_fresh_process(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def test_environment_variable() -> None:
    code = "import torch, spectrans; print(spectrans.explain(spectrans.functional.fourier_mixing, torch.ones(4, 4)))"
    done = in_fresh_process(code, SPECTRANS_BACKEND="torch")
    assert "reference (spectrans.backend('torch') is in force)" in done.stdout, done.stderr


def test_empty_environment_variable_is_none() -> None:
    done = in_fresh_process("import spectrans; print(spectrans.backend('torch'))", SPECTRANS_BACKEND="")
    assert done.returncode == 0, done.stderr


def test_environment_variable_must_be_a_backend() -> None:
    done = in_fresh_process("import spectrans", SPECTRANS_BACKEND="fast")
    assert "ValueError: SPECTRANS_BACKEND: expected 'native' or 'torch', got 'fast'" in done.stderr


def test_whether_to_load_the_library_must_be_said_clearly() -> None:
    done = in_fresh_process("import spectrans", SPECTRANS_NATIVE="no")
    assert "ValueError: SPECTRANS_NATIVE: expected '0' or '1', got 'no'" in done.stderr


def test_without_the_library() -> None:
    code = (
        "import torch, spectrans\n"
        "x = torch.randn(2, 8, 4, requires_grad=True)\n"
        "print(spectrans.explain(lambda: spectrans.functional.fourier_mixing(x).sum().backward()))"
    )
    done = in_fresh_process(code, SPECTRANS_NATIVE="0", SPECTRANS_BACKEND="native")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("spectrans::mixing [2, 8, 4] float32 cpu: reference (") == 2
    assert "not loaded" in done.stdout


def test_both_backends_agree() -> None:
    x, h = oracle.draw(2, 12, 6), oracle.draw_response(12, 6)
    calls = (
        lambda: fourier_mixing(x),
        lambda: hartley_mixing(x, 1),
        lambda: spectral_filter(x, h),
        lambda: fft_conv(x, x[0], pre_gate=x),
    )
    for call in calls:
        with spectrans.backend("native"):
            y = call()
        with spectrans.backend("torch"):
            z = call()
        oracle.assert_close(y, oracle.wide(z), n=72, magnitude=4 * oracle.norm(x), transforms=6)


def test_backward_follows_the_forward_pass() -> None:
    x = torch.randn(2, 8, 4, requires_grad=True)
    with spectrans.backend("native"):
        y = fourier_mixing(x)
    with spectrans.backend("torch"):
        assert [step.op for step in spectrans.explain(y.sum().backward).steps] == ["spectrans::mixing"]


# -- explain -----------------------------------------------------------------------------------------------------------


def expected_on_cpu() -> str:
    return "native" if _native.status()["ops_cpu"]["loaded"] else "reference"


def test_explain_the_ops() -> None:
    x, h = torch.randn(2, 8, 4), torch.randn(5, 4, 2)
    with spectrans.backend("native"):
        for call, op in (
            (lambda: fourier_mixing(x), "mixing"),
            (lambda: hartley_mixing(x), "mixing"),
            (lambda: spectral_filter(x, h), "filter"),
            (lambda: fft_conv(x, x[0]), "conv"),
            (lambda: rfft_modes(x, 3), "modes"),
        ):
            (step,) = spectrans.explain(call).steps
            assert (step.op, step.implementation) == (f"spectrans::{op}", expected_on_cpu())
            assert (step.device, step.dtype, step.shape) == ("cpu", "float32", (2, 8, 4))
            assert ("registered" in step.reason) == (expected_on_cpu() == "native")


def test_explain_agrees_with_the_profiler() -> None:
    # A native kernel calls no aten FFT, a reference does.
    x = torch.randn(2, 8, 4)
    with spectrans.backend("native"):
        (step,) = spectrans.explain(fourier_mixing, x).steps
        with torch.autograd.profiler.profile() as profile:
            fourier_mixing(x)
    called_fft = any(event.name.startswith("aten::_fft") for event in profile.function_events)
    assert called_fft == (step.implementation == "reference")


def test_explain_layers() -> None:
    x = torch.randn(2, 8, 4)
    with spectrans.backend("native"):
        assert [s.op for s in spectrans.explain(GlobalFilterMixing(4, 8), x).steps] == [
            "spectrans::hermitian_half",
            "spectrans::filter",
        ]
        assert [s.op for s in spectrans.explain(GlobalFilterMixing2D(4, 8), x).steps] == ["spectrans::filter_plane"]
        (step,) = spectrans.explain(FourierMixing(4, keep_complex=True), x).steps
        assert (
            step.implementation == "torch.fft" and not spectrans.explain(FourierMixing(4, keep_complex=True), x).native
        )
        assert spectrans.explain(FourierMixing(4), x).native == (expected_on_cpu() == "native")


def test_explain_the_torch_backend() -> None:
    with spectrans.backend("torch"):
        (step,) = spectrans.explain(FourierMixing(4), torch.randn(2, 8, 4)).steps
    assert step.implementation == "reference" and step.reason == "spectrans.backend('torch') is in force"


def test_explain_derivative_transforms() -> None:
    x = torch.randn(8, 4)
    with spectrans.backend("native"):
        steps = spectrans.explain(torch.func.grad(lambda x: fourier_mixing(x).sum()), x).steps
        assert steps[0].implementation == "reference" and "torch.func" in steps[0].reason
        (step,) = spectrans.explain(torch.func.vmap(fourier_mixing), torch.randn(2, 8, 4)).steps
        assert step.implementation == expected_on_cpu()
        with torch.autograd.forward_ad.dual_level():
            (step,) = spectrans.explain(fourier_mixing, x).steps
        assert "forward-mode" in step.reason


def test_explain_meta() -> None:
    with spectrans.backend("native"):
        (step,) = spectrans.explain(fourier_mixing, torch.empty(2, 8, 4, device="meta")).steps
    assert step.implementation == "fake"


@pytest.mark.parametrize("reason", ["no kernel for this length", ""])
def test_explain_asks_a_library_that_has_kernels_for_some_calls(native_library: None, reason: str) -> None:
    if torch._C._dispatch_has_kernel_for_dispatch_key("spectrans::filter_why_not", "CPU"):
        pytest.skip("the library in use is one")
    asked: list[tuple[object, ...]] = []
    x, h = torch.randn(2, 8, 4), torch.randn(5, 4, 2)
    with torch.library._scoped_library("spectrans", "IMPL") as library, spectrans.backend("native"):
        library.impl("filter_why_not", lambda *args: asked.append(args) or reason, "CPU")
        (step,) = spectrans.explain(spectral_filter, x, h).steps
    ((asked_x, asked_h),) = asked
    assert (asked_x.data_ptr(), asked_h.data_ptr()) == (x.data_ptr(), h.data_ptr())
    told = ("reference", reason) if reason else ("native", "a CPU kernel is registered")
    assert (step.implementation, step.reason) == told


def test_explain_nothing() -> None:
    explanation = spectrans.explain(torch.add, torch.ones(1), 1)
    assert explanation.steps == () and not explanation.native and str(explanation) == "no spectral operation"


def test_explain_sees_references_in_derivatives() -> None:
    x = torch.randn(2, 8, 4, requires_grad=True)
    y = fourier_mixing(x)

    def tangent() -> None:
        with torch.autograd.forward_ad.dual_level():
            torch.autograd.grad(y, x, torch.autograd.forward_ad.make_dual(torch.ones(2, 8, 4), torch.ones(2, 8, 4)))

    (step,) = spectrans.explain(tangent).steps
    assert (step.op, step.implementation) == ("spectrans::mixing", "reference")
    assert step.reason == "forward-mode differentiation is active"


def test_explain_leaves_the_generator_alone_and_passes_errors_on() -> None:
    before = torch.get_rng_state()
    spectrans.explain(FourierMixing(4, dropout=0.5), torch.ones(2, 8, 4))
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(ValueError, match="dims"):
        spectrans.explain(fourier_mixing, torch.ones(2, 2), dims=5)
    assert library.watched.observer is None
