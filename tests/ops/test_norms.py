"""What the ops behind the norm checks have in common: references, fake kernels, calculus, contexts, memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import oracle
import pytest
import torch
from norm_oracle import (
    ACCURACY,
    DTYPES,
    FULL_DTYPES,
    REAL_OR_COMPLEX,
    assert_energy,
    check_energy,
    check_orthogonality_error,
    check_spectral_norm,
    exact_energy,
    real_view,
    summed,
)
from torch import Tensor

import spectrans
from spectrans.functional import energy, energy_error, filter_operator_norm, orthogonality_error, spectral_norm
from spectrans.ops import norms as ops


def test_permuted_batches(backend: str) -> None:
    for dtype in (torch.float32, torch.float64, torch.complex64):
        x = oracle.draw(5, 2, 4, 3, dtype=dtype)
        for axes in itertools.permutations(range(4)):
            for t in (x.permute(axes), x.permute(axes)[1:, :, ::2], x.permute(axes)[:, :1].expand(-1, 3, -1, -1)):
                check_spectral_norm(t)
                check_orthogonality_error(t)
                check_energy(t)


# -- the ops -----------------------------------------------------------------------------------------------------------


def test_ops_agree_with_their_references() -> None:
    for dtype in DTYPES:
        t = oracle.draw(2, 9, 6, dtype=dtype)
        x, pairs = real_view(t), t.is_complex()
        dims = [-3, -2, -1] if pairs else [-2, -1]
        for actual in (ops.energy_reference(x, dims), ops.energies(x, 2 * x, dims)[0], ops.energies(2 * x, x, dims)[1]):
            assert_energy(actual, exact_energy(t), summed(t, (1, 2)))
        tau = ACCURACY[oracle.compute(x.dtype)]
        value, u, v = ops.spectral_norm(x, pairs)
        torch.testing.assert_close(value, ops.spectral_norm_reference(x, pairs)[0], rtol=2 * tau, atol=0.0)
        grad = oracle.draw(2, dtype=value.dtype)
        expected = ops.spectral_norm_backward_reference(grad, x, u, v, pairs)
        torch.testing.assert_close(ops._spectral_norm_backward(grad, x, u, v, pairs), expected)
        apart = (torch.stack((t, t), -1)[..., 0] for t in (grad, x, u, v))
        torch.testing.assert_close(ops._spectral_norm_backward(*apart, pairs), expected)
        expected = ops.spectral_norm_backward_reference(grad[:1].repeat(2), x, u, v, pairs)
        torch.testing.assert_close(ops._spectral_norm_backward(grad[:1].expand(2), x, u, v, pairs), expected)
        torch.testing.assert_close(
            ops.orthogonality_error(x, pairs), ops.orthogonality_error_reference(x, pairs), rtol=1e-13, atol=0.0
        )


def op_results(name: str, x: Tensor) -> list[Tensor]:
    """What one op makes of a tensor [batch, m, d]."""
    t, pairs = real_view(x), x.is_complex()
    dims = [-3, -2, -1] if pairs else [-2, -1]
    if name == "energy":
        return [ops.energy(t, dims), ops.energy(t.movedim(0, -1), [-2]), ops.energy(t, list(range(-t.dim(), 0)))]
    if name == "energies":
        return list(ops.energies(t, t.flip(1), dims))
    if name == "orthogonality_error":
        return [ops.orthogonality_error(t[:, :64], pairs)]
    if name == "largest_modulus":
        return [ops.largest_modulus(oracle.draw(len(x), x[0].numel(), 2, dtype=oracle.compute(t.dtype)))]
    value, u, v = ops.spectral_norm(t, pairs)
    return [value, u, v] if name == "spectral_norm" else [ops._spectral_norm_backward(value, t, u, v, pairs)]


#: The ops that have kernels; the outer product of two vectors needs none.
KERNELS = sorted(set(ops._REFERENCES) - {"spectral_norm_backward"})


@pytest.mark.usefixtures("native_library")  # torch promises no such thing
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", KERNELS)
def test_bitwise_reproducible(threads: int, name: str, dtype: torch.dtype) -> None:
    inputs = [
        oracle.draw(*shape, dtype=dtype)
        for shape in ((7, 60, 36), (1, 700, 130), (1, 3, 90001), (2, 1500, 200), (40, 3, 4))
    ]

    def run() -> list[Tensor]:
        return [t for x in inputs for t in op_results(name, x)]

    torch.set_num_threads(1)
    alone = run()
    torch.set_num_threads(threads)
    for _ in range(3):
        assert all(map(torch.equal, run(), alone))


@pytest.mark.parametrize(
    ("layout", "dtype", "pairs"), [("transposed", torch.bfloat16, False), ("odd_offset", torch.float32, True)], ids=str
)
def test_opcheck(layout: str, dtype: torch.dtype, pairs: bool) -> None:
    x = oracle.LAYOUTS[layout]((3, 4, 6), dtype)
    t = (x.unflatten(-1, (3, 2)) if pairs else x).requires_grad_()
    dims = [-3, -2, -1] if pairs else [-1, -3]
    torch.library.opcheck(ops.energy, (t, dims))
    torch.library.opcheck(ops.energies, (t, t.detach(), dims))
    torch.library.opcheck(ops.orthogonality_error, (t, pairs))
    torch.library.opcheck(ops.spectral_norm, (t, pairs))
    value, u, v = (t.detach() for t in ops.spectral_norm(t, pairs))
    torch.library.opcheck(ops._spectral_norm_backward, (value.requires_grad_(), t, u, v, pairs))
    torch.library.opcheck(ops.largest_modulus, (x[..., :2].float(),))


@pytest.mark.parametrize("layout", oracle.LAYOUTS)
def test_fake_strides(layout: str) -> None:
    x, z = (oracle.LAYOUTS[layout]((3, 4, 6), dtype) for dtype in (torch.bfloat16, torch.float32))

    def run(x: Tensor, z: Tensor) -> list[Tensor]:
        pairs = z.unflatten(-1, (3, 2))
        found = [ops.energy(x, [-1]), *ops.energies(x, x, [-3, -1]), ops.largest_modulus(z[..., :2])]
        for t, flag in ((x, False), (pairs, True)):
            value, u, v = ops.spectral_norm(t, flag)
            found += [ops.orthogonality_error(t, flag), value, u, v, ops._spectral_norm_backward(value, t, u, v, flag)]
        return found

    real = run(x, z)
    mode = torch._subclasses.FakeTensorMode()
    with mode:
        fake = run(mode.from_tensor(x), mode.from_tensor(z))
    for a, b in zip(fake, real, strict=True):
        assert (a.shape, a.stride(), a.dtype) == (b.shape, b.stride(), b.dtype)


# -- calculus ----------------------------------------------------------------------------------------------------------


def differentiable(dtype: torch.dtype) -> dict[str, tuple[Callable[..., Tensor], tuple[Tensor, ...]]]:
    """Every function with arguments where it is twice differentiable."""
    x, y = oracle.draw(2, 3, 4, dtype=dtype), oracle.draw(2, 3, 4, dtype=dtype, seed=1)
    h = oracle.draw(4, 3, 2) if dtype is torch.float64 else oracle.draw(4, 3, dtype=dtype)
    m = oracle.draw(2, 3, 2, 2) if dtype is torch.float64 else oracle.draw(2, 3, 2, dtype=dtype)
    return {
        "energy": (energy, (x,)),
        "energy, one axis": (lambda x: energy(x, 1), (x,)),
        "energy, half": (lambda x: energy(x, n=4), (x,)),
        "energy, half, odd": (lambda x: energy(x, (0, 2), n=7, dim=2), (x,)),
        "energy_error": (energy_error, (x, y)),
        "energy_error, half": (lambda x, y: energy_error(x, y, n=5), (x, y)),
        "orthogonality_error": (orthogonality_error, (x,)),
        "orthogonality_error, tall": (lambda x: orthogonality_error(x.mT), (x,)),
        "spectral_norm": (spectral_norm, (x,)),
        "spectral_norm, tall": (lambda x: spectral_norm(x.mT), (x,)),
        "spectral_norm, conjugate": (lambda x: spectral_norm(x.mH), (x,)),
        "filter_operator_norm": (filter_operator_norm, (h,)),
        "filter_operator_norm, n": (lambda h: filter_operator_norm(h, n=6), (h,)),
        "filter_operator_norm, grid": (lambda h: filter_operator_norm(h.unsqueeze(1), grid=(4, 1)), (h,)),
        "filter_operator_norm, mixing": (lambda m: filter_operator_norm(m, n=3, channel_mixing=True), (m,)),
    }


@pytest.mark.parametrize("dtype", REAL_OR_COMPLEX, ids=str)
@pytest.mark.parametrize("name", differentiable(torch.float64))
def test_gradcheck(backend: str, name: str, dtype: torch.dtype) -> None:
    f, arguments = differentiable(dtype)[name]
    leaves = tuple(t.detach().clone().requires_grad_() for t in arguments)
    assert torch.autograd.gradcheck(f, leaves)
    assert torch.autograd.gradgradcheck(f, leaves)


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (2, 3, 3), (2, 4), (4, 2), (1, 3), (3, 1)], ids=str)
def test_gradcheck_of_every_op(shape: tuple[int, ...], pairs: bool) -> None:
    x, y = (oracle.draw(*shape, *([2] if pairs else []), seed=s).requires_grad_() for s in (0, 1))
    calls: list[tuple[Callable[..., object], tuple[Tensor, ...]]] = [
        (lambda x: ops.energy(x, [-2]), (x,)),
        (lambda x, y: ops.energies(x, y, [-1]), (x, y)),
        (lambda x, y: ops.energies(x, y, [-1])[1], (x, y)),
        (lambda x: ops.orthogonality_error(x, pairs), (x,)),
        (lambda x: ops.spectral_norm(x, pairs)[0], (x,)),
    ]
    for call, inputs in calls:
        assert torch.autograd.gradcheck(call, inputs)
        assert torch.autograd.gradgradcheck(call, inputs)
    # The vectors belong to x, so that only with the value's is its derivative one of anything.
    weight = oracle.draw(*shape[:-2]).requires_grad_()
    f = lambda weight, x: torch.autograd.grad(ops.spectral_norm(x, pairs)[0], x, weight, create_graph=True)[0]  # noqa: E731
    assert torch.autograd.gradcheck(f, (weight, x))
    assert torch.autograd.gradgradcheck(f, (weight, x))


def stacked(t: Tensor, dim: int | None) -> Tensor:
    """Three of it, along an axis in which they are apart in memory by something else."""
    return t if dim is None else torch.stack([(i + 1) * t for i in range(3)], dim)


@pytest.mark.parametrize("dtype", REAL_OR_COMPLEX, ids=str)
@pytest.mark.parametrize("name", differentiable(torch.float64))
def test_vmap(backend: str, name: str, dtype: torch.dtype) -> None:
    f, arguments = differentiable(dtype)[name]
    for in_dims in itertools.product((0, 1, 2, None), repeat=len(arguments)):
        if all(dim is None for dim in in_dims):
            continue
        batches = tuple(stacked(t, dim) for t, dim in zip(arguments, in_dims, strict=True))
        mapped = torch.func.vmap(f, in_dims=in_dims)(*batches)
        for i in range(3):
            one = f(*(t if dim is None else t.select(dim, i) for t, dim in zip(batches, in_dims, strict=True)))
            torch.testing.assert_close(mapped[i], one, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", REAL_OR_COMPLEX, ids=str)
@pytest.mark.parametrize("name", differentiable(torch.float64))
def test_functional_derivatives(backend: str, name: str, dtype: torch.dtype) -> None:
    f, (x, *rest) = differentiable(dtype)[name]
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(f(leaf, *rest).sum(), leaf)
    torch.testing.assert_close(torch.func.grad(lambda x: f(x, *rest).sum())(x), expected, rtol=1e-6, atol=1e-9)
    tangent = oracle.draw(*x.shape, dtype=dtype, seed=2)
    _, change = torch.func.jvp(lambda x: f(x, *rest).sum(), (x,), (tangent,))
    slope = (real_view(expected) * real_view(tangent)).sum()
    torch.testing.assert_close(change, slope, rtol=1e-6, atol=1e-9)
    with torch.autograd.forward_ad.dual_level():
        y = f(torch.autograd.forward_ad.make_dual(x, tangent), *rest).sum()
        torch.testing.assert_close(torch.autograd.forward_ad.unpack_dual(y).tangent, change)


def test_nested_vmap(backend: str) -> None:
    x = oracle.draw(2, 3, 5, 4)
    twice = lambda f, **dims: torch.func.vmap(torch.func.vmap(f, **dims))  # noqa: E731
    for f in (energy, orthogonality_error, spectral_norm, filter_operator_norm):
        argument = oracle.draw(2, 3, 5, 4, 2) if f is filter_operator_norm else x
        each = torch.stack([torch.stack([f(t) for t in row]) for row in argument])
        torch.testing.assert_close(twice(f)(argument), each, rtol=1e-12, atol=0.0)
        torch.testing.assert_close(twice(f, in_dims=2)(argument.movedim(1, 3)), each, rtol=1e-12, atol=0.0)


def test_per_sample_gradients(backend: str) -> None:
    x = oracle.draw(3, 4, 5)
    for f in (spectral_norm, orthogonality_error, energy, filter_operator_norm):
        argument = x if f is not filter_operator_norm else oracle.draw(3, 5, 2, 2)
        each = torch.func.vmap(torch.func.grad(f))(argument)
        for sample, grad in zip(argument, each, strict=True):
            leaf = sample.clone().requires_grad_()
            torch.testing.assert_close(grad, torch.autograd.grad(f(leaf), leaf)[0], rtol=1e-6, atol=1e-9)


def test_functional_gradient_of_zero_is_zero() -> None:
    assert (torch.func.grad(spectral_norm)(torch.zeros(3, 4)) == 0).all()
    assert (torch.func.grad(orthogonality_error)(torch.eye(3, 4)) == 0).all()


# -- contexts ----------------------------------------------------------------------------------------------------------


def everything(x: Tensor) -> list[Tensor]:  # [2, 3, 4]
    """Every function, of one tensor."""
    response = x if x.is_complex() else x.reshape(2, 3, 2, 2)
    return [
        energy(x),
        energy(x, 0),
        energy(x, n=5),
        energy_error(x, x.flip(0)),
        energy_error(x, x.flip(0), n=4),
        orthogonality_error(x),
        spectral_norm(x),
        filter_operator_norm(response),
        filter_operator_norm(response[:, 0], n=3),
        filter_operator_norm(response, grid=(2, 4)),
        filter_operator_norm(response[:, :, :2] if x.is_complex() else response, channel_mixing=True),
    ]


def test_autocast_changes_nothing(backend: str) -> None:
    for dtype in DTYPES:
        x = oracle.draw(2, 3, 4, dtype=dtype)
        leaf = x.clone().requires_grad_()
        with torch.autocast(torch.get_default_device().type, dtype=torch.bfloat16):
            found = everything(x)
            (grad,) = torch.autograd.grad(sum(t.double().sum() for t in everything(leaf)), leaf)
        (expected,) = torch.autograd.grad(sum(t.double().sum() for t in everything(leaf)), leaf)
        assert all(map(torch.equal, found, everything(x)))
        assert [t.dtype for t in found] == [t.dtype for t in everything(x)]
        torch.testing.assert_close(grad, expected)


def test_inference_mode(backend: str) -> None:
    for dtype in DTYPES:
        x = oracle.draw(2, 3, 4, dtype=dtype)
        with torch.inference_mode():
            found = everything(x.clone())
        assert all(map(torch.equal, found, everything(x)))


def test_meta(backend: str) -> None:
    for dtype in DTYPES:
        x = oracle.draw(2, 3, 4, dtype=dtype)
        for a, b in zip(everything(x.to("meta")), everything(x), strict=True):
            assert a.device.type == "meta" and (a.shape, a.dtype, a.stride()) == (b.shape, b.dtype, b.stride())


def test_requires_grad_or_not(backend: str) -> None:
    for dtype in DTYPES:
        x = oracle.draw(2, 3, 4, dtype=dtype)
        assert not any(t.requires_grad for t in everything(x))
        assert all(t.requires_grad for t in everything(x.requires_grad_()))
        with torch.no_grad():
            assert not any(t.requires_grad for t in everything(x))


def test_which_ops_run() -> None:
    x = torch.randn(2, 8, 4, requires_grad=True)
    response = torch.randn(5, 4, 2)
    for call, expected in (
        (lambda: energy(x).sum().backward(), ["energy"]),
        (lambda: energy_error(x, x), ["energies"]),
        (lambda: orthogonality_error(x).sum().backward(), ["orthogonality_error"]),
        (lambda: spectral_norm(x).sum().backward(), ["spectral_norm", "spectral_norm_backward"]),
        (lambda: filter_operator_norm(response, n=8), ["largest_modulus"]),
        (lambda: filter_operator_norm(response.unflatten(1, (2, 2)), channel_mixing=True), ["spectral_norm"]),
    ):
        steps = spectrans.explain(call).steps
        assert [step.op for step in steps] == [f"spectrans::{name}" for name in expected]
        kernels = [step.implementation == "native" for step in steps]
        library = spectrans.info()["libraries"][f"ops_{torch.get_default_device().type}"]
        assert kernels == [library["loaded"] and name in KERNELS for name in expected]


# -- memory ------------------------------------------------------------------------------------------------------------


def test_saves_only_what_its_backward_reads() -> None:
    x = torch.randn(2, 8, 4, requires_grad=True)

    def saved(f: Callable[..., Tensor], *inputs: Tensor) -> list[tuple[int, ...]]:
        shapes: list[tuple[int, ...]] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: shapes.append(tuple(t.shape)) or t, lambda t: t):
            f(*inputs)
        return shapes

    assert saved(energy, x) == [(2, 8, 4)]
    assert saved(orthogonality_error, x) == [(2, 8, 4), (2,)]
    assert saved(spectral_norm, x) == [(2, 8, 4), (2, 8), (2, 4)]
    assert saved(spectral_norm, x.detach()) == []


def allocated(call: Callable[[], object]) -> int:
    """Bytes that torch hands out during a call."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        call()
    events = profile.profiler.kineto_results.events()
    return sum(max(event.nbytes(), 0) for event in events if event.name() == "[memory]")


@pytest.mark.usefixtures("cpu_kernels")  # a GPU's blocks leave their sums in memory
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_energies_take_no_memory(dtype: torch.dtype) -> None:
    x = torch.ones(4, 256, 128, dtype=dtype)
    for t in (x, x.mT, x[:, ::2, 1:], x.transpose(0, 1).contiguous().transpose(0, 1)):
        assert allocated(lambda: energy(t)) <= 4096  # noqa: B023
        assert allocated(lambda: energy_error(t, t)) <= 4096  # noqa: B023
        assert allocated(lambda: energy(t, 0)) <= 8 * t[0].numel() + 4096  # noqa: B023
    assert allocated(lambda: energy(x, n=510)) <= 4096


@pytest.mark.usefixtures("native_library")
def test_orthogonality_error_holds_no_product() -> None:
    for dtype in FULL_DTYPES:
        t = torch.ones(1024, 16, dtype=dtype)
        assert allocated(lambda: orthogonality_error(t)) <= t.numel() * 64  # noqa: B023
