"""A LLaMA whose layers' matrices are stacked, and what trains it."""

import math

import torch
import torch.nn.functional as F

WIDTH, LAYERS, HEADS, INNER, WINDOW, BASE, EPSILON = 128, 4, 4, 352, 512, 10_000.0, 1e-5


class Reader(torch.nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        matrix = lambda count, rows, columns, scale: torch.nn.Parameter(torch.randn(LAYERS, count, rows, columns) * scale / math.sqrt(columns))
        self.embedding = torch.nn.Parameter(torch.randn(vocabulary, WIDTH))
        self.norms = torch.nn.Parameter(torch.ones(LAYERS, 2, WIDTH))
        # Small, since the head is the embedding, so that copying is learned once for all tokens.
        self.norm = torch.nn.Parameter(torch.full((WIDTH,), 0.05))
        self.query_key_value = matrix(3, WIDTH, WIDTH, 0.7)
        self.out = matrix(1, WIDTH, WIDTH, 0.0)
        self.gate_up = matrix(2, INNER, WIDTH, 0.7)
        self.down = matrix(1, WIDTH, INNER, 0.0)

    def matrices(self):
        return [self.query_key_value, self.out, self.gate_up, self.down]

    def forward(self, ids, positions, mask):
        rows, length = ids.shape
        half = WIDTH // HEADS // 2
        angles = positions[:, None, :, None].float() * BASE ** (-torch.arange(half).float() / half)
        cosines, sines = angles.cos(), angles.sin()

        def turned(heads):
            one, other = heads.chunk(2, -1)
            return torch.cat([one * cosines - other * sines, other * cosines + one * sines], -1)

        x = F.embedding(ids, self.embedding)
        for norms, query_key_value, out, gate_up, down in zip(*(of.unbind(0) for of in (self.norms, *self.matrices()))):
            h = F.linear(rms(x, norms[0]), query_key_value.flatten(0, 1))
            query, key, value = h.view(rows, length, 3 * HEADS, -1).transpose(1, 2).chunk(3, 1)
            h = F.scaled_dot_product_attention(turned(query), turned(key), value.contiguous(), attn_mask=mask)
            x = x + F.linear(h.transpose(1, 2).reshape(rows, length, WIDTH), out[0])
            gate, up = F.linear(rms(x, norms[1]), gate_up.flatten(0, 1)).chunk(2, -1)
            x = x + F.linear(F.silu(gate) * up, down[0])
        return F.linear(rms(x, self.norm), self.embedding)

    def tensors(self):
        """By the names that transformers gives them."""
        found = {"model.embed_tokens.weight": self.embedding, "model.norm.weight": self.norm}
        for layer in range(LAYERS):
            under = f"model.layers.{layer}."
            found |= {f"{under}self_attn.{which}_proj.weight": self.query_key_value[layer, at] for at, which in enumerate("qkv")}
            found |= {f"{under}mlp.{which}_proj.weight": self.gate_up[layer, at] for at, which in enumerate(["gate", "up"])}
            found |= {f"{under}self_attn.o_proj.weight": self.out[layer, 0], f"{under}mlp.down_proj.weight": self.down[layer, 0],
                      f"{under}input_layernorm.weight": self.norms[layer, 0], f"{under}post_attention_layernorm.weight": self.norms[layer, 1]}
        return {name: tensor.detach().half().contiguous().clone() for name, tensor in found.items()}

    def take(self, tensors):
        """The inverse: the weights as they are rounded in the file."""
        with torch.no_grad():
            for name, tensor in tensors.items():
                place = self.tensor_at(name)
                place.copy_(tensor.float())

    def tensor_at(self, name):
        whole = {"model.embed_tokens.weight": self.embedding, "model.norm.weight": self.norm}
        if name in whole:
            return whole[name]
        _, _, layer, *rest = name.split(".")
        stack, at = {"q_proj": (self.query_key_value, 0), "k_proj": (self.query_key_value, 1), "v_proj": (self.query_key_value, 2), "o_proj": (self.out, 0), "gate_proj": (self.gate_up, 0),
                     "up_proj": (self.gate_up, 1), "down_proj": (self.down, 0), "input_layernorm": (self.norms, 0), "post_attention_layernorm": (self.norms, 1)}[rest[-2]]
        return stack[int(layer), at]


def rms(x, scale):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPSILON) * scale


class Muon:
    """Momentum whose matrices are made orthogonal (Jordan et al., 2024): fewer steps than Adam needs to begin to copy."""

    def __init__(self, parameters, rate, momentum=0.95, decay=0.1):
        self.parameters, self.rate, self.momentum, self.decay = parameters, rate, momentum, decay
        self.moving = [torch.zeros_like(parameter) for parameter in parameters]

    @torch.no_grad()
    def step(self, share):
        rate = self.rate * share
        for parameter, moving in zip(self.parameters, self.moving):
            moving.lerp_(parameter.grad, 1 - self.momentum)
            update = orthogonal(parameter.grad.lerp(moving, self.momentum).flatten(0, 1))
            scale = max(1.0, parameter.shape[-2] / parameter.shape[-1]) ** 0.5
            parameter.mul_(1 - rate * self.decay).add_(update.view_as(parameter), alpha=-rate * scale)
            parameter.grad = None


def orthogonal(matrices):
    """Five Newton-Schulz steps, with Muon's coefficients."""
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x.mT if tall else x
