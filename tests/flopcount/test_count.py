"""The face: phases, gradients, defaults, what stays untouched."""

import copy
import functools

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import flopcount


def test_linear_training_step():
    # forward 2·3·4·5 = 120; weight gradient as much; no input gradient is needed
    count = flopcount.count(nn.Linear(4, 5), torch.zeros(3, 4))
    assert (count.forward, count.backward, count.total) == (120, 120, 240)
    assert (count.recompute, count.hardware_total) == (0, 240)
    assert count.uncounted == ()
    assert count.flop_bounds is None
    assert count.per_rank is None
    assert count.method == "meta"


def test_forward_only():
    count = flopcount.count(nn.Linear(4, 5), torch.zeros(3, 4), backward=False)
    assert (count.forward, count.backward) == (120, 0)


@pytest.mark.parametrize(
    ("input_grad", "weight_grad", "backward"),
    [(False, False, 0), (True, False, 120), (False, True, 120), (True, True, 240)],
)
def test_backward_follows_requires_grad(input_grad, weight_grad, backward):
    layer = nn.Linear(4, 5).requires_grad_(weight_grad)
    x = torch.zeros(3, 4, requires_grad=input_grad)
    assert flopcount.count(layer, x).backward == backward


def test_lora_costs_forward_input_gradient_and_the_small_matrices():
    class Adapted(nn.Module):
        def __init__(self):
            super().__init__()
            self.base = nn.Linear(16, 16).requires_grad_(requires_grad=False)
            self.down = nn.Linear(16, 2, bias=False)
            self.up = nn.Linear(2, 16, bias=False)

        def forward(self, x):
            return self.base(x) + self.up(self.down(x))

    x = torch.zeros(3, 16, requires_grad=True)
    # base 2·3·16·16 = 1536 forward and input gradient; down and up 2·3·16·2 = 192 each, threefold
    count = flopcount.count(Adapted(), x)
    assert count.forward == 1536 + 2 * 192
    assert count.backward == 1536 + 4 * 192


def test_an_unused_head_costs_no_backward():
    class TwoHeads(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Linear(4, 5), nn.Linear(4, 5)

        def forward(self, x):
            return {"loss_part": self.used(x), "other": self.unused(x)}

    count = flopcount.count(TwoHeads(), torch.zeros(3, 4), loss=lambda out: out["loss_part"].sum())
    assert (count.forward, count.backward) == (240, 120)
    # without a loss every floating-point output is differentiated
    assert flopcount.count(TwoHeads(), torch.zeros(3, 4)).backward == 240


def test_loss_must_answer_a_tensor():
    with pytest.raises(flopcount.CountError, match="loss must answer a tensor; found float"):
        flopcount.count(nn.Linear(4, 5), torch.zeros(3, 4), loss=lambda _out: 1.0)


def test_functions_partials_methods_and_keywords():
    layer = nn.Linear(4, 5)
    x = torch.zeros(3, 4)
    assert flopcount.count(lambda t: layer(t), x).total == 240
    assert flopcount.count(functools.partial(layer.forward), x).total == 240
    assert flopcount.count(layer, input=x).total == 240

    def two(a, b, *, scale):
        return (a @ b) * scale

    # 2·3·4·5 = 120
    assert flopcount.count(two, torch.zeros(3, 4), torch.zeros(4, 5), scale=2.0).total == 120


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_is_recompute_and_not_backward(reentrant):
    block = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))

    def step(x):
        return checkpoint(block, x, use_reentrant=reentrant)

    x = torch.zeros(4, 8, requires_grad=True)
    count = flopcount.count(step, x)
    # one layer 2·4·8·8 = 512; the last layer's output is needed by nobody, and only re-entrant
    # checkpointing computes it again
    assert (count.forward, count.backward) == (1024, 2048)
    assert count.recompute == (1024 if reentrant else 512)
    assert count.hardware_total == 3072 + count.recompute


def test_by_module_contains_its_children_and_by_op_and_dtype_sum_up():
    model = nn.Sequential(nn.Linear(4, 5), nn.Sequential(nn.Linear(5, 6)))
    count = flopcount.count(model, torch.zeros(3, 4))
    first, second = 2 * 3 * 4 * 5, 2 * 3 * 5 * 6
    assert count.by_module["0"] == 2 * first
    assert count.by_module["1"] == count.by_module["1.0"] == 3 * second
    assert count.by_module[""] == count.total == 2 * first + 3 * second
    assert sum(count.by_op.values()) == count.total
    assert dict(count.by_dtype) == {"fp32": count.total}


def test_nothing_of_the_model_is_touched():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 4))
    model.cache = {}
    before = copy.deepcopy(model.state_dict())
    pointers = [p.data_ptr() for p in model.parameters()]
    dictionaries = [id(m.__dict__) for m in model.modules()]
    torch.manual_seed(3)
    state = torch.get_rng_state()
    x = torch.ones(3, 4, requires_grad=True)
    flopcount.count(model, x)
    assert torch.equal(torch.get_rng_state(), state)
    assert [p.data_ptr() for p in model.parameters()] == pointers
    assert [id(m.__dict__) for m in model.modules()] == dictionaries
    assert all(p.grad is None for p in model.parameters())
    assert x.grad is None
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_plain_attributes_written_in_forward_are_put_back():
    class Caching(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)
            self.last, self.seen = None, []

        def forward(self, x):
            self.last = self.layer(x)
            self.seen.append(self.last)
            return self.last

    model = Caching()
    flopcount.count(model, torch.zeros(2, 4))
    assert model.last is None
    assert model.seen == []


def test_torch_is_left_as_it_was_even_after_an_error():
    from torch.nn.modules import module as modules
    from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(4, 5)

        def forward(self, x):
            self.inner(x)
            raise ValueError("broken on purpose")

    model = Broken()
    function = torch.nn.functional.linear
    with pytest.raises(flopcount.CountError, match="broken on purpose"):
        flopcount.count(model, torch.zeros(3, 4))
    assert torch.nn.functional.linear is function
    assert not modules._global_forward_hooks
    assert not modules._global_forward_pre_hooks
    assert _get_current_dispatch_mode_stack() == []
    assert torch.overrides._get_current_function_mode_stack() == []
    assert model.inner.weight.device.type == "cpu"
    assert flopcount.count(nn.Linear(4, 5), torch.zeros(3, 4)).total == 240


def test_an_error_names_the_module():
    model = nn.Sequential(nn.Linear(4, 5), nn.Sequential(nn.Linear(7, 5)))
    with pytest.raises(flopcount.CountError, match=r"in 1\.0: "):
        flopcount.count(model, torch.zeros(3, 4))


def test_tied_weights_and_a_model_on_meta():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(10, 4)
            self.head = nn.Linear(4, 10, bias=False)
            self.head.weight = self.table.weight

        def forward(self, ids):
            return self.head(self.table(ids))

    with torch.device("meta"):
        model = Tied()
    ids = torch.zeros(2, 3, dtype=torch.long, device="meta")
    # head 2·6·4·10 = 480, twice more in the backward; a lookup multiplies nothing
    count = flopcount.count(model, ids)
    assert (count.forward, count.backward) == (480, 960)
    assert all(p.grad is None for p in model.parameters())


def test_under_no_grad_inference_mode_and_an_expanded_parameter():
    class Pooling(nn.Module):
        def __init__(self):
            super().__init__()
            self.probe = nn.Parameter(torch.zeros(1, 1, 4))
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            return self.layer(self.probe.expand(x.shape[0], -1, -1))

    x = torch.zeros(3, 2, 4)
    with torch.no_grad():
        assert flopcount.count(Pooling(), x).forward == 2 * 3 * 4 * 4
    with torch.inference_mode():
        assert flopcount.count(Pooling(), x).total == 3 * 2 * 3 * 4 * 4


def test_the_same_figure_compiled_and_eager_and_the_compiled_model_stays_compiled():
    calls = []

    def backend(graph, _inputs):
        calls.append(graph)
        return graph.forward

    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
    compiled = torch.compile(model, backend=backend)
    x = torch.zeros(4, 8)
    compiled(x)
    assert len(calls) == 1
    assert flopcount.count(compiled, x).total == flopcount.count(model, x).total
    compiled(x)
    # a second graph would mean that counting had thrown the first away
    assert len(calls) == 1


def test_import_needs_no_torch():
    import subprocess
    import sys

    code = "import sys, flopcount; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_optimizer_step_is_counted_apart_on_request():
    class Squaring(torch.optim.Optimizer):
        """Multiplies each matrix's gradient with its transpose, as orthogonalising ones do."""

        def __init__(self, parameters):
            super().__init__(parameters, {})

        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    if p.dim() == 2:
                        p.data.add_((p.grad @ p.grad.T) @ p.data)

    model = nn.Linear(4, 5)
    weight = model.weight.clone()
    count = flopcount.count(model, torch.zeros(3, 4), optimizer=Squaring)
    # 2·5·4·5 and 2·5·5·4
    assert count.optimizer == 400
    assert (count.total, count.hardware_total) == (240, 240)
    assert torch.equal(model.weight, weight)
    assert flopcount.count(model, torch.zeros(3, 4)).optimizer is None
    assert flopcount.count(model, torch.zeros(3, 4), optimizer=torch.optim.AdamW).optimizer == 0
    with pytest.raises(flopcount.CountError, match="count a module with its backward"):
        flopcount.count(model, torch.zeros(3, 4), backward=False, optimizer=Squaring)


def test_a_config_that_is_more_than_a_dictionary_survives():
    from collections import OrderedDict

    class Config(OrderedDict):
        """Its copy forgets the attribute."""

    class Configured(nn.Linear):
        def __init__(self):
            super().__init__(4, 5)
            self._config = Config()
            self._config.scale = 2

        def forward(self, x):
            return super().forward(x) * self._config.scale

    assert flopcount.count(Configured(), torch.zeros(3, 4)).total == 240
