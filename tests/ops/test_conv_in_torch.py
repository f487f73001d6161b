"""`conv` in torch: derivatives by torch's own checks, function transforms, autocast, what compilers and graphs see."""

from __future__ import annotations

import oracle
import pytest
import torch
from conv_oracle import Optional, call, check, check_backward, draw, gain

import spectrans
from spectrans.functional import fft_conv
from spectrans.ops.conv import conv, conv_backward


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("gates", [(False,) * 3, (True, False, True), (False, True, False), (True,) * 3], ids=str)
def test_gradcheck(backend: str, gates: tuple[bool, bool, bool], causal: bool) -> None:
    for shape, m in (((2, 1, 1), 2), ((2, 3, 1), 4)):
        tensors = [t if t is None else t.requires_grad_() for t in draw(*shape, m=m, gates=gates)]
        assert torch.autograd.gradcheck(lambda *t: call(*t, causal), tensors)
        assert torch.autograd.gradgradcheck(lambda *t: call(*t, causal), tensors)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("gates", [(False, False, False), (True, False, True), (True, True, True)], ids=str)
def test_gradcheck_of_every_op(gates: tuple[bool, bool, bool], causal: bool) -> None:
    tensors = [t if t is None else t.requires_grad_() for t in draw(2, 3, 2, m=4, gates=gates)]
    g = oracle.draw(2, 3, 2, seed=1).requires_grad_()

    def backward(*t: Optional) -> tuple[torch.Tensor, ...]:
        return tuple(r for r in conv_backward(*t, causal) if r.numel())

    calls = [(lambda *t: conv(*t, causal, True), tensors), (backward, [g, *tensors])]
    for function, inputs in calls:
        assert torch.autograd.gradcheck(function, inputs)
        assert torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize("needs", [(0,), (1,), (2,), (3,), (4,), (0, 1), (1, 4), (2, 3)], ids=str)
def test_gradients_of_some_arguments(backend: str, needs: tuple[int, ...]) -> None:
    arguments = draw(2, 9, 3, m=9, gates=(True, True, True))
    tensors = [t.requires_grad_(i in needs) for i, t in enumerate(arguments)]
    assert torch.autograd.gradcheck(call, tensors)
    assert torch.autograd.gradgradcheck(call, tensors)


@pytest.mark.parametrize("gates", [(False, False, False), (True, True, True)], ids=str)
@pytest.mark.parametrize(("dtype", "layout"), oracle.OPCHECKED, ids=str)
def test_opcheck(dtype: torch.dtype, layout: str, gates: tuple[bool, bool, bool]) -> None:
    _, k, pre, post, skip = draw(2, 5, 5, m=6, dtype=dtype, gates=gates)
    u = oracle.LAYOUTS[layout]((2, 5, 5), dtype)
    arguments = [t if t is None else t.requires_grad_() for t in (u, k, pre, post, skip)]
    g = oracle.draw(2, 5, 5, dtype=dtype).requires_grad_()
    for adjoint in (False, True):
        torch.library.opcheck(conv, (*arguments, True, adjoint))
    for causal in (False, True):
        torch.library.opcheck(conv_backward, (g, *arguments, causal))


@pytest.mark.parametrize(
    "in_dims",
    [
        (0, None, None, None, None),
        (2, None, 1, 0, None),
        (None, None, 0, None, None),
        (None, 0, None, None, None),
        (0, 0, 0, 0, 0),
        (1, 1, None, 2, 1),
        (None, None, None, None, 0),
    ],
    ids=str,
)
def test_vmap(backend: str, in_dims: tuple[int | None, ...]) -> None:
    plain = draw(3, 8, 6, m=10, gates=(True, True, True))
    stacked = [t if dim is None else torch.stack([t, 2 - t], dim) for t, dim in zip(plain, in_dims, strict=True)]
    for causal in (True, False):
        mapped = torch.func.vmap(lambda *t: call(*t, causal), in_dims=in_dims)(*stacked)  # noqa: B023
        for i in range(2):
            one = [t if dim is None else t.select(dim, i) for t, dim in zip(stacked, in_dims, strict=True)]
            check(mapped[i], *one, causal)


def test_vmap_without_gates(backend: str) -> None:
    u, k, *_ = draw(2, 3, 8, 6, m=8)
    mapped = torch.func.vmap(fft_conv, in_dims=(0, None))(u, k)
    for i in range(2):
        check(mapped[i], u[i], k)


@pytest.mark.parametrize("gates", [(False, False, False), (True, True, True)], ids=str)
def test_vmap_of_the_derivatives(gates: tuple[bool, bool, bool]) -> None:
    u, k, pre, post, skip = draw(2, 3, 8, 5, m=6, gates=gates)
    g = oracle.draw(2, 3, 8, 5, seed=1)
    gate_dims = (0 if gates[0] else None, 0 if gates[1] else None)
    mapped = torch.func.vmap(
        lambda *t: tuple(r for r in conv_backward(*t, True) if r.numel()), in_dims=(0, 0, None, *gate_dims, None)
    )(g, u, k, pre, post, skip)
    for i in range(2):
        one = [u[i], k, None if pre is None else pre[i], None if post is None else post[i], skip]
        results = [r[i].contiguous() for r in mapped]
        results += [torch.empty(0)] * (4 - len(results))
        check_backward(results, g[i], *one)


def test_per_sample_gradients(backend: str) -> None:
    u, k, *_ = draw(3, 8, 5, m=8)
    f = lambda k, u: fft_conv(u, k).pow(3).sum()  # noqa: E731
    each = torch.func.vmap(torch.func.grad(f), in_dims=(None, 0))(k, u)
    for sample, grad in zip(u, each, strict=True):
        t = k.clone().requires_grad_()
        (expected,) = torch.autograd.grad(f(t, sample), t)
        oracle.assert_close(
            grad, oracle.wide(expected), n=8, magnitude=20 * gain(k) ** 2 * oracle.norm(u) ** 3, transforms=6
        )


def test_forward_mode(backend: str) -> None:
    u, k, *_ = draw(3, 8, 5, m=8)
    v = oracle.draw(3, 8, 5, seed=1)
    _, tangent = torch.func.jvp(lambda u: fft_conv(u, k), (u,), (v,))
    check(tangent, v, k)


@pytest.mark.parametrize("layout", oracle.LAYOUTS)
def test_fake_strides(layout: str) -> None:
    u = oracle.LAYOUTS[layout]((3, 12, 20), torch.bfloat16)
    _, k, pre, post, skip = draw(3, 12, 20, m=9, dtype=torch.bfloat16, gates=(True, True, True))
    k = k.T.contiguous().T

    def results(*t: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (
            conv(*t, True, False),
            *conv_backward(t[0], *t, True),
            *conv_backward(t[3], *t[:2], None, t[0], None, True),
        )

    real = results(u, k, pre, post, skip)
    mode = torch._subclasses.FakeTensorMode()
    with mode:
        fake = results(*map(mode.from_tensor, (u, k, pre, post, skip)))
    for a, b in zip(fake, real, strict=True):
        assert (a.shape, a.stride(), a.dtype) == (b.shape, b.stride(), b.dtype)


def test_autocast_keeps_the_dtype(backend: str) -> None:
    with torch.autocast(torch.get_default_device().type, dtype=torch.bfloat16):
        for dtype in oracle.DTYPES:
            arguments = draw(2, 8, 4, m=8, dtype=dtype, gates=(True, False, True))
            y = call(*arguments)
            assert y.dtype is dtype
            check(y, *arguments)


def test_autocast_casts_gates(backend: str) -> None:
    u, k, gate = (oracle.draw(*shape, dtype=torch.float32) for shape in ((2, 8, 4), (8, 4), (2, 8, 4)))
    half = gate.bfloat16()
    for name in ("pre_gate", "post_gate"):
        with torch.autocast(torch.get_default_device().type, dtype=torch.bfloat16):
            y = fft_conv(u, k, **{name: half})
        torch.testing.assert_close(y, fft_conv(u, k, **{name: half.float()}), rtol=0, atol=0)
        with pytest.raises(TypeError, match=f"{name}: expected dtype torch.float32, that of u, got torch.bfloat16"):
            fft_conv(u, k, **{name: half})


def test_backward_runs_the_fused_op(native_library: None) -> None:
    u, k = torch.randn(2, 8, 4, requires_grad=True), torch.randn(8, 4, requires_grad=True)
    steps = spectrans.explain(lambda: fft_conv(u, k).sum().backward()).steps
    assert [step.op for step in steps] == ["spectrans::conv", "spectrans::conv_backward"]
    assert all(step.implementation == "native" for step in steps)
    steps = spectrans.explain(lambda: fft_conv(u, k.detach()).sum().backward()).steps
    assert [step.op for step in steps] == ["spectrans::conv", "spectrans::conv"]


def test_saves_only_what_its_backward_reads() -> None:
    u, k = torch.randn(2, 8, 4, requires_grad=True), torch.randn(8, 4, requires_grad=True)

    def saved(*inputs: torch.Tensor) -> list[torch.Size]:
        shapes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: shapes.append(t.shape) or t, lambda t: t):
            fft_conv(*inputs)
        return shapes

    assert saved(u, k.detach()) == [k.shape]
    assert saved(u, k) == [u.shape, k.shape]
