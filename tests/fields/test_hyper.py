"""Emitted fields against fields loaded with the same numbers, encoders against their laws."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate

from inrkit.fields import (
    MLP,
    RBF,
    SIREN,
    Completer,
    ConditionalDecoder,
    ConvEncoder,
    Hypernetwork,
    PartialConv2d,
    SetEncoder,
    encoded,
)
from inrkit.signals import grid

SHAPE, BATCH = (6, 5), 3
COORDS = grid(SHAPE)


def small(in_features, out_features):
    return MLP(in_features, out_features, width=8, hidden_layers=2)


ENCODERS = {
    "sine set": lambda: SetEncoder(SIREN(5, 7, width=8, hidden_layers=2), COORDS),
    "ReLU set": lambda: SetEncoder(small(5, 7), COORDS),
    "CNN": lambda: ConvEncoder(SHAPE, width=7, blocks=2),
    "partial CNN": lambda: ConvEncoder(SHAPE, width=7, blocks=2, partial=True),
}


@pytest.fixture
def context():
    torch.manual_seed(0)
    values = torch.rand(BATCH, len(COORDS), 3) * 2 - 1
    mask = torch.zeros(BATCH, len(COORDS), dtype=torch.bool)
    for row, count in zip(mask, (3, 11, 30), strict=True):
        row[torch.randperm(len(COORDS))[:count]] = True
    return values, mask


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_takes_each_signal_alone_and_never_reads_unknown_pixels(name, context):
    values, mask = context
    torch.manual_seed(1)
    encoder = ENCODERS[name]()
    z = encoder(values, mask)
    assert z.shape == (BATCH, 7)
    for i in range(BATCH):
        torch.testing.assert_close(z[i : i + 1], encoder(values[i : i + 1], mask[i : i + 1]))
    spoilt = values.where(mask.unsqueeze(-1), torch.nan)
    torch.testing.assert_close(encoder(spoilt, mask), z)
    assert not torch.allclose(encoder(values + 0.1, mask), z)


def test_a_set_has_no_order(context):
    values, mask = context
    torch.manual_seed(1)
    encoder = ENCODERS["sine set"]()
    order = torch.randperm(len(COORDS))
    shuffled = SetEncoder(encoder.network, COORDS[order])
    torch.testing.assert_close(
        shuffled(values[:, order], mask[:, order]), encoder(values, mask), atol=1e-5, rtol=1e-5
    )
    known = torch.cat([COORDS, values[0]], dim=-1)[mask[0]]  # the list of samples itself
    torch.testing.assert_close(
        encoder(values, mask)[0], encoder.network(known).mean(0), atol=1e-5, rtol=1e-5
    )


def test_a_partial_convolution_is_its_sum_over_known_pixels():
    torch.manual_seed(2)
    conv = PartialConv2d(2, 3, kernel=3)
    x, known = torch.randn(1, 2, 5, 6), torch.rand(1, 1, 5, 6) < 0.2
    y, after = conv(x, known)
    w, b = conv.conv.weight.detach().numpy(), conv.conv.bias.detach().numpy()
    pixels, m = x[0].numpy(), known[0, 0].numpy()
    for i in range(5):
        for j in range(6):
            total, count = np.zeros(3), 0
            for k in range(max(i - 1, 0), min(i + 2, 5)):
                for n in range(max(j - 1, 0), min(j + 2, 6)):
                    if m[k, n]:
                        total += w[:, :, k - i + 1, n - j + 1] @ pixels[:, k, n]
                        count += 1
            expected = total * 9 / count + b if count else np.zeros(3)
            np.testing.assert_allclose(y[0, :, i, j].detach(), expected, atol=1e-5)
            assert bool(after[0, 0, i, j]) == (count > 0)


def by_scipy(x, conv):
    w, b = (p.detach().double().numpy() for p in (conv.weight, conv.bias))
    full = [sum(map(partial(correlate, mode="constant"), x, kernels)) for kernels in w]
    return np.stack(full) + b[:, None, None]


def test_a_convolutional_encoder_is_residual_blocks_and_a_weighted_sum(context):
    values, mask = context
    torch.manual_seed(2)
    encoder = ENCODERS["CNN"]()
    z = encoder(values, mask).detach().numpy()
    for picture, known, found in zip(values.double().numpy(), mask.numpy(), z, strict=True):
        sparse = (picture * known[:, None]).T.reshape(3, *SHAPE)
        x = np.maximum(by_scipy(sparse, encoder.first), 0)
        for first, second in encoder.blocks:
            x = np.maximum(x + by_scipy(np.maximum(by_scipy(x, first), 0), second), 0)
        weights, bias = (p.detach().numpy() for p in encoder.gather.parameters())
        np.testing.assert_allclose(found, x.reshape(7, -1) @ weights[0] + bias, atol=1e-5)


def test_partial_blocks_hand_on_what_is_known(context):
    """Each convolution by the one that is tested above, with the mask that the last one gave."""
    values, mask = context
    torch.manual_seed(2)
    encoder = ENCODERS["partial CNN"]()
    x = values.where(mask.unsqueeze(-1), 0.0).mT.reshape(BATCH, 3, *SHAPE)
    x, known = encoder.first(x, mask.reshape(BATCH, 1, *SHAPE))
    x = x.relu()
    for first, second in encoder.blocks:
        inner, known = first(x, known)
        outer, known = second(inner.relu(), known)
        x = (x + outer).relu()
    expected = encoder.gather(x.reshape(BATCH, 7, -1))[..., 0]
    torch.testing.assert_close(encoder(values, mask), expected)


def test_an_emitted_field_is_the_field_with_those_numbers():
    torch.manual_seed(3)
    build = {"width": 8, "hidden_layers": 2}
    decoder, z = Hypernetwork(SIREN(2, 3, **build), 7, width=9), torch.randn(BATCH, 7)
    values, weights = decoder(z, COORDS)
    theta = decoder.emit(z)
    for i in range(BATCH):
        field = SIREN(2, 3, **build)
        field.load_state_dict({name: tensor[i] for name, tensor in theta.items()})
        torch.testing.assert_close(values[i], field(COORDS), atol=1e-5, rtol=1e-5)
        numbers = torch.cat([p.flatten() for p in field.parameters()])
        assert weights[i].item() == pytest.approx(numbers.square().mean().item(), rel=1e-5)


def test_all_fields_begin_alike_within_the_range_of_their_fan_in():
    torch.manual_seed(4)
    decoder = Hypernetwork(SIREN(2, 3, width=64, hidden_layers=2), 16, width=32)
    theta = decoder.emit(torch.randn(20, 16))
    for name, fan_in in {"layers.0.bias": 2, "layers.1.weight": 64, "layers.2.weight": 64}.items():
        tensor = theta[name]
        middle = tensor.mean(0)
        assert tensor.std(0).mean() < 0.1 * middle.std() + 0.02  # Kaiming / 100
        bias = dict(zip(decoder.shapes, decoder.networks, strict=True))[name].layers[-1].bias
        assert bias.abs().max() <= 1 / fan_in
        assert bias.std().item() == pytest.approx(1 / fan_in / 3**0.5, rel=0.2)


def test_gradients_reach_every_trained_parameter_and_no_other(context):
    torch.manual_seed(5)
    decoder = Hypernetwork(SIREN(2, 3, width=8, hidden_layers=1), 7, width=9)
    model = Completer(ENCODERS["partial CNN"](), decoder)
    found = model(*context, COORDS)
    (found.values.square().sum() + found.weights.sum()).backward()
    assert all((p.grad is not None) == p.requires_grad for p in model.parameters())
    assert not any(p.requires_grad for p in decoder.field.parameters())


def test_a_conditional_decoder_is_one_network_fed_with_z(context):
    torch.manual_seed(6)
    network = small(2 + 7, 3)
    model = Completer(ENCODERS["ReLU set"](), ConditionalDecoder(network))
    found = model(*context, COORDS)
    joined = torch.cat([COORDS[4], found.latent[1]])
    torch.testing.assert_close(found.values[1, 4], network(joined[None])[0])
    assert (found.weights == 0).all()


def test_a_field_of_other_parameters_is_refused():
    with pytest.raises(ValueError, match="other parameters"):
        Hypernetwork(encoded(RBF(2, features=4), small))
