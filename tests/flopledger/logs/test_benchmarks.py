"""The table of MLPerf benchmarks: shapes are checked by the parameters that they must give."""

import pytest

from flopledger.logs.benchmarks import benchmark, benchmarks


def parameters(shape):
    """Weights of attention, feed-forward and embeddings; norms are below a thousandth."""
    hidden, width = shape["hidden"], shape["head_dim"]
    attention = 2 * hidden * width * (shape["heads"] + shape["kv_heads"])
    layer = attention + shape["ffn_matrices"] * hidden * shape["ffn"]
    tables = 1 if shape["tied_embeddings"] else 2
    return shape["layers"] * layer + tables * shape["vocabulary"] * hidden


@pytest.mark.parametrize("name", ["gpt3", "llama31_405b", "llama31_8b", "llama2_70b_lora", "bert"])
def test_shapes_give_the_published_parameters(name):
    entry = benchmark(name)
    assert parameters(entry.architecture) == pytest.approx(entry.parameters, rel=0.01)


def test_lora_trains_what_its_rank_gives():
    entry = benchmark("llama2_70b_lora")
    hidden, rank, layers = 8192, 16, 80
    fused = rank * (hidden + hidden + 2 * 1024)  # into q, k and v of 64, 8 and 8 heads
    output = rank * (hidden + hidden)
    assert entry.trainable_parameters == layers * (fused + output)


def test_flux_block_by_block():
    hidden, image, text = 3072, 256, 256
    positions = image + text
    inputs = 2 * hidden * (64 * image + 4096 * text + 64 * image)  # in, text in, out
    embedders = 2 * (256 * hidden + hidden**2) + 2 * (768 * hidden + hidden**2)
    each = 2 * 12 * hidden**2 * positions + 4 * positions**2 * hidden
    double = 19 * (each + 2 * 2 * 6 * hidden**2)  # modulations of two streams
    single = 38 * (each + 2 * 3 * hidden**2)
    last = 2 * 2 * hidden**2
    assert benchmark("flux1").forward_flop_per_sample == (
        inputs + embedders + double + single + last
    )


class UNet:
    """Adds up the layers of Stable Diffusion 2's U-Net."""

    def __init__(self):
        self.flop = self.parameters = 0

    def convolution(self, inner, outer, kernel, side):
        self.flop += 2 * inner * outer * kernel**2 * side**2
        self.parameters += inner * outer * kernel**2 + outer

    def linear(self, inner, outer, rows, bias=True):
        self.flop += 2 * inner * outer * rows
        self.parameters += inner * outer + (outer if bias else 0)

    def residual(self, inner, outer, side):
        self.convolution(inner, outer, 3, side)
        self.convolution(outer, outer, 3, side)
        self.linear(1280, outer, 1)  # the time embedding
        self.parameters += 2 * inner + 2 * outer  # group norms
        if inner != outer:
            self.convolution(inner, outer, 1, side)

    def transformer(self, width, side, context=1024, words=77):
        positions = side**2
        self.linear(width, width, positions)
        self.linear(width, width, positions)
        self.parameters += 2 * width + 6 * width  # one group norm, three layer norms
        for inner, keys in ((width, positions), (context, words)):
            self.linear(width, width, positions, bias=False)
            self.linear(inner, width, keys, bias=False)
            self.linear(inner, width, keys, bias=False)
            self.linear(width, width, positions)
            self.flop += 2 * 2 * positions * keys * width
        self.linear(width, 8 * width, positions)  # gated
        self.linear(4 * width, width, positions)

    def build(self):
        widths, side, width, skips = [320, 640, 1280, 1280], 64, 320, [320]
        self.linear(320, 1280, 1)
        self.linear(1280, 1280, 1)
        self.convolution(4, 320, 3, side)
        for level, outer in enumerate(widths):
            for _ in range(2):
                self.residual(width, outer, side)
                width = outer
                if level < 3:
                    self.transformer(outer, side)
                skips.append(outer)
            if level < 3:
                side //= 2
                self.convolution(outer, outer, 3, side)
                skips.append(outer)
        self.residual(1280, 1280, side)
        self.transformer(1280, side)
        self.residual(1280, 1280, side)
        for level, outer in enumerate(reversed(widths)):
            for _ in range(3):
                self.residual(width + skips.pop(), outer, side)
                width = outer
                if level > 0:
                    self.transformer(outer, side)
            if level < 3:
                side *= 2
                self.convolution(outer, outer, 3, side)
        self.convolution(320, 4, 3, side)
        self.parameters += 2 * 320
        return self


def test_the_u_net_layer_by_layer():
    network, entry = UNet().build(), benchmark("stable_diffusion")
    assert network.parameters == entry.parameters == 865_910_724
    assert entry.forward_flop_per_sample == network.flop


def test_names_of_older_rounds():
    assert benchmark("mask") is benchmark("maskrcnn")
    assert benchmark("llama31-8b") is benchmark("llama31_8b")
    assert benchmark("nothing") is None


def test_every_entry_names_its_source():
    assert all(entry.source and entry.title for entry in benchmarks().values())
