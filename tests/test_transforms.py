"""Derivatives of derivatives, by whatever means torch has: what its own functions would give."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import oracle
import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

import spectrans
from spectrans import functional
from spectrans._backend import run
from spectrans.layers.mixing import FourierMixing, GlobalFilterMixing, GridFilterMixing, LongConvMixing
from spectrans.ops.hermitian_half import hermitian_half

N, D = 8, 4


def signal(*shape: int) -> Tensor:
    return oracle.draw(*shape, dtype=torch.float64)


def pairs(x: Tensor, *shape: int) -> Tensor:
    """A response that depends on x."""
    count = torch.Size(shape).numel()
    re = torch.cat([x.flatten()] * (count // x.numel() + 1))[:count].reshape(shape)
    return torch.stack((re.square(), re), dim=-1)


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "mixing": lambda x: functional.fourier_mixing(x.square()).square(),
    "filter": lambda x: functional.spectral_filter(x.square(), pairs(x, N // 2 + 1, D)),
    "filter2d": lambda x: functional.spectral_filter2d(x.square(), pairs(x, 2, 3, D), (2, 4)),
    "filter_plane": lambda x: functional.spectral_filter_plane(x.square(), pairs(x, N, D)),
    "hermitian_half": lambda x: run(hermitian_half, x[0].square(), x[0].sin()).square(),
    "conv": lambda x: functional.fft_conv(x, x[0], pre_gate=2 * x, post_gate=x.sin(), skip=x[0, 0]),
    "modes": lambda x: torch.view_as_real(functional.rfft_modes(x.square(), 3)).square(),
    "modes_inverse": lambda x: functional.irfft_modes(torch.complex(x.square(), x), 14).square(),
    "energy": lambda x: functional.energy(x, (-1,)).square(),
    "orthogonality_error": lambda x: functional.orthogonality_error(x),
    "spectral_norm": lambda x: functional.spectral_norm(x).pow(3),
}

every_function = pytest.mark.parametrize("name", FUNCTIONS)


def squared_jacobian_grad(name: str, backend: str, vectorize: bool) -> Tensor:
    x = signal(1, N, D).requires_grad_()
    with spectrans.backend(backend), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, about batching rules that it lacks
        jacobian = torch.autograd.functional.jacobian(FUNCTIONS[name], x, create_graph=True, vectorize=vectorize)
        jacobian.square().sum().backward()
    assert x.grad is not None
    return x.grad


@every_function
def test_batched_backward_passes_are_recorded(name: str) -> None:
    expected = squared_jacobian_grad(name, "torch", False)
    assert expected.norm() > 0
    torch.testing.assert_close(squared_jacobian_grad(name, "native", True), expected, rtol=1e-6, atol=1e-9)


def test_batched_backward_passes_reach_the_weights_of_layers() -> None:
    net = nn.Sequential(nn.Linear(D, D), nn.Tanh(), GlobalFilterMixing(D, N)).double()
    x = signal(1, N, D)
    grads = []
    for vectorize in (False, True):
        net.zero_grad()
        jacobian = torch.autograd.functional.jacobian(net, x, create_graph=True, vectorize=vectorize)
        jacobian.square().sum().backward()
        grads.append([p.grad for p in net.parameters()])
    torch.testing.assert_close(grads[1], grads[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "spectral_norm"])  # of the value alone
def test_tangents_of_cotangents(name: str) -> None:
    x = signal(1, N, D).requires_grad_()
    y = FUNCTIONS[name](x)
    value, tangent = signal(*y.shape), signal(*y.shape) + 1

    def pulled(cotangent: Tensor) -> Tensor:
        return torch.autograd.grad(y, x, cotangent, retain_graph=True)[0]

    expected = pulled(tangent)  # it is linear
    with forward_ad.dual_level():
        found = forward_ad.unpack_dual(pulled(forward_ad.make_dual(value, tangent)))
        assert found.tangent is not None
        torch.testing.assert_close(found.tangent, expected)
    torch.testing.assert_close(torch.func.jvp(pulled, (value,), (tangent,))[1], expected)


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (2, 0, 1), (1, 0, 2)])
@pytest.mark.parametrize("make", ["native", "torch", "grad", "jvp"])
def test_results_have_the_strides_of_the_input(order: tuple[int, ...], make: str) -> None:
    back = [order.index(axis) for axis in range(3)]
    x = signal(*((3, N, D)[axis] for axis in order)).permute(back)
    h, h2, hp, k = signal(N // 2 + 1, D, 2), signal(2, 3, D, 2), signal(N, D, 2), signal(N, D)
    expected = torch.empty_like(x).stride()
    for function in (
        functional.fourier_mixing,
        lambda t: functional.fourier_mixing(t, dims=1),
        functional.hartley_mixing,
        lambda t: functional.spectral_filter(t, h),
        lambda t: functional.spectral_filter2d(t, h2, (2, 4)),
        lambda t: functional.spectral_filter_plane(t, hp),
        lambda t: functional.fft_conv(t, k, pre_gate=t, post_gate=t),
    ):
        seen: list[tuple[int, ...]] = []

        def noted(t: Tensor, function: Callable[..., Tensor] = function, seen: list[tuple[int, ...]] = seen) -> Tensor:
            y = function(t)
            seen.append(y.stride())
            return y.sum()

        if make == "grad":
            torch.func.grad(noted)(x)
        elif make == "jvp":
            torch.func.jvp(noted, (x,), (x,))
        else:
            with spectrans.backend(make):
                noted(x)
        assert seen == [expected]


def test_per_sample_gradients_of_a_view() -> None:
    layer, x = GlobalFilterMixing(D, N).double(), signal(3, N, D)
    grads = torch.vmap(torch.func.grad(lambda t: layer(t).view(-1).square().sum()))(x)
    x.requires_grad_()
    layer(x).square().sum().backward()
    torch.testing.assert_close(grads, x.grad)


def test_mapped_axes_of_no_size() -> None:
    x = signal(0, 3, N, D)
    for function, *others in (
        (functional.fourier_mixing,),
        (functional.spectral_filter, signal(0, N // 2 + 1, D, 2)),
        (functional.spectral_filter_plane, signal(0, N, D, 2)),
        (lambda t, h: functional.spectral_filter2d(t, h, (2, 4)), signal(0, 2, 3, D, 2)),
        (functional.fft_conv, signal(0, N, D)),
    ):
        assert torch.vmap(function)(x, *others).shape == x.shape  # type: ignore[arg-type]
    assert torch.vmap(functional.filter_operator_norm)(signal(0, 3, D, 2)).shape == (0,)
    assert torch.vmap(functional.spectral_norm)(x).shape == (0, 3)


def test_real_pairs_where_the_mapped_axis_has_an_odd_stride() -> None:
    spectra = signal(3, 25)[:, :24].unflatten(1, (3, D, 2))
    expected = torch.stack([functional.irfft_modes(each, N) for each in spectra])
    torch.testing.assert_close(torch.vmap(lambda each: functional.irfft_modes(each, N))(spectra), expected)


def test_responses_of_parameters_anywhere_in_memory() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))
            self.mixing = GridFilterMixing(D, (2, 4))

    module = Scaled()
    expected = module.mixing.get_filter_response()
    nn.utils.vector_to_parameters(nn.utils.parameters_to_vector(module.parameters()), module.parameters())
    assert module.mixing.complex_weight.storage_offset() % 2 == 1
    torch.testing.assert_close(module.mixing.get_filter_response(), expected)


@pytest.mark.parametrize("make", [lambda: FourierMixing(D), lambda: LongConvMixing(D, N)])
def test_monitors_measure_where_a_layer_is(make: Callable[[], nn.Module]) -> None:
    layer = make()
    with torch.device("meta"), spectrans.monitor(layer, quiet=True) as watch:
        layer(torch.ones(3, N, D, device="cpu"))
    assert len(watch.records) == 1 and watch.summary()[0]["problem"] is None
