"""What every op has: its reference as an op of its own, and a way to ask why a library has no kernel."""

from __future__ import annotations

import oracle
import pytest
import torch

from spectrans.ops import conv, filter, filter2d, filter_plane, hermitian_half, library, mixing, modes, norms

x, g = oracle.draw(2, 12, 6), oracle.draw(2, 12, 6, seed=1)
h, h2, h3 = oracle.draw_response(12, 6), oracle.draw_response2d(3, 4, 6), oracle.draw(12, 6, 2)
k = oracle.draw(12, 6, seed=2)

CALLS = (
    (mixing.mixing, (x, True, True, False, 1)),
    (filter.filter, (x, h, True)),
    (filter.filter_response_grad, (g, x)),
    (filter.filter_backward, (g, x, h)),
    (filter2d.filter2d, (x, h2, False)),
    (filter2d.filter2d_response_grad, (g, x, 3)),
    (filter2d.filter2d_backward, (g, x, h2)),
    (filter_plane.filter_plane, (x, h3, True)),
    (filter_plane.filter_plane_response_grad, (g, x)),
    (filter_plane.filter_plane_backward, (g, x, h3)),
    (hermitian_half.hermitian_half, (k, x[0])),
    (hermitian_half.hermitian_half_backward, (h, 12)),
    (conv.conv, (x, k, g, None, k[0], True, False)),
    (conv.conv_backward, (g, x, k, None, g, None, False)),
    (modes.modes, (x, 4, False, True, 1)),
    (modes.modes_inverse, (torch.fft.rfft(x, dim=1), 12, x.dtype, False, True, 0)),
    (norms.energy, (x, [-1])),
    (norms.energies, (x, g, [-2, -1])),
    (norms.orthogonality_error, (x, False)),
    (norms.spectral_norm, (x, False)),
    (norms._spectral_norm_backward, (x[:, 0, 0], x, x[:, :, 0], x[:, 0], False)),
    (norms.largest_modulus, (h,)),
)
NAMES = [op._schema.name.removeprefix("spectrans::") for op, _ in CALLS]


def test_every_op_is_here() -> None:
    defined = {
        name.removeprefix("spectrans::") for name in torch._C._dispatch_get_all_op_names() if "spectrans" in name
    }
    assert defined == {f"{name}{suffix}" for name in NAMES for suffix in ("", "_reference", "_why_not")}


@pytest.mark.parametrize("name", NAMES)
def test_companions_take_the_same_arguments(name: str) -> None:
    op, reference, why_not = (
        getattr(torch.ops.spectrans, f"{name}{suffix}").default._schema for suffix in ("", "_reference", "_why_not")
    )
    described = [(a.name, str(a.type), a.default_value) for a in op.arguments]
    assert [(a.name, str(a.type), a.default_value) for a in reference.arguments] == described
    assert [(a.name, str(a.type), a.default_value) for a in why_not.arguments] == described
    assert [str(r.type) for r in reference.returns] == [str(r.type) for r in op.returns]
    assert [str(r.type) for r in why_not.returns] == ["str"]


@pytest.mark.parametrize(("op", "args"), CALLS, ids=NAMES)
def test_reference_agrees_with_the_op(op: torch._ops.OpOverload, args: tuple[object, ...]) -> None:
    name = op._schema.name.removeprefix("spectrans::")
    results = (f(*args) for f in (op, getattr(torch.ops.spectrans, f"{name}_reference")))
    of_op, of_reference = ((t,) if isinstance(t, torch.Tensor) else t for t in results)
    for a, b in zip(of_op, of_reference, strict=True):
        assert (a.shape, a.stride(), a.dtype) == (b.shape, b.stride(), b.dtype)
        if name == "spectral_norm":  # u and v are found up to a common sign
            a, b = a.abs(), b.abs()
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-9)


# Its reference, its fake kernel and its derivatives know them too.
@pytest.mark.parametrize(
    ("op", "args"),
    [pytest.param(op, args, id=n) for n, (op, args) in zip(NAMES, CALLS, strict=True) if library.defaults(op)],
)
def test_defaults(op: torch._ops.OpOverload, args: tuple[object, ...]) -> None:
    left_out = library.defaults(op)
    name = op._schema.name.removeprefix("spectrans::")
    leaves = tuple(
        a.clone().requires_grad_() if isinstance(a, torch.Tensor) else a for a in args[: len(args) - len(left_out)]
    )
    expected = op(*leaves, *left_out)
    wanted = [a for a in leaves if isinstance(a, torch.Tensor)]
    gradients = torch.autograd.grad(expected.abs().sum(), wanted)
    for y in (op(*leaves), library.call(op, *leaves)):
        assert torch.equal(y, expected)
        for ours, theirs in zip(torch.autograd.grad(y.abs().sum(), wanted), gradients, strict=True):
            assert torch.equal(ours, theirs)
    assert torch.allclose(getattr(torch.ops.spectrans, f"{name}_reference")(*leaves), expected)
    fake = op(*(a.to("meta") if isinstance(a, torch.Tensor) else a for a in leaves))
    assert (fake.shape, fake.stride(), fake.dtype) == (expected.shape, expected.stride(), expected.dtype)
    alone = torch.vmap(op, (0, *(None,) * (len(leaves) - 1)))(*leaves)
    assert torch.allclose(alone, expected)


def test_calls_leave_the_thread_as_it_was() -> None:
    """Past the autograd kernels means: while the op runs."""
    keys = torch._C._dispatch_tls_local_exclude_set()
    leaf = x.clone().requires_grad_()
    with pytest.raises(RuntimeError):
        library.below_autograd(mixing.mixing, leaf, "no flag", True, False, 1)
    assert torch._C._dispatch_tls_local_exclude_set() == keys
    assert library.below_autograd(mixing.mixing, leaf, True, True, False, 1).grad_fn is None
    assert torch._C._dispatch_tls_local_exclude_set() == keys
    assert (2 * leaf).requires_grad
    with torch._C._AutoDispatchBelowAutograd():  # in somebody's kernel: it stays so
        library.call(mixing.mixing, x, True, True, False, 1)
        assert torch._C._dispatch_tls_is_dispatch_key_excluded(library._AUTOGRAD)
    with torch.inference_mode():
        assert library.call(mixing.mixing, x, True, True, False, 1).is_inference()
