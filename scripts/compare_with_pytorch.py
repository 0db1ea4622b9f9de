#!/usr/bin/env python3
"""Alternates this program's benchmark half (benches/compare.rs) with PyTorch and prints the ratios.

Started by compare_with_pytorch.sh. Each figure is the best of several turns; the two take turns, so that whatever else the
machine does falls on both. Ratios above 1 mean that this program is faster.
"""
import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy
import torch
import torch.nn as nn
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures"))
import make_pytorch_forward as fixture  # noqa: E402

CLASSES, ALPHA = 6, 0.25

# Of the usual comparison, then of the network: batch, channels in and out, edge, kernel, stride.
CONVOLUTIONS = [
    (1, 16, 16, 64, 3, 1),
    (1, 32, 32, 48, 3, 1),
    (1, 64, 64, 24, 3, 1),
    (1, 128, 128, 12, 3, 1),
    (2, 24, 48, 32, 3, 2),
    (2, 24, 24, 32, 3, 1),
    (2, 72, 24, 32, 3, 1),
    (2, 48, 48, 16, 3, 1),
    (2, 144, 48, 16, 3, 1),
    (2, 96, 96, 8, 3, 1),
    (2, 48, 96, 16, 3, 2),
    (2, 1, 24, 64, 3, 2),
    (2, 24, 6, 32, 1, 1),
    (2, 24, 48, 32, 1, 2),
    (2, 48, 96, 16, 1, 2),
]
# How often each of these occurs in the compact network on crops of 64^3 in a batch of two.
IN_COMPACT = {
    (2, 1, 24, 64, 3, 2): 1,
    (2, 24, 24, 32, 3, 1): 5,
    (2, 24, 48, 32, 3, 2): 1,
    (2, 24, 48, 32, 1, 2): 1,
    (2, 48, 48, 16, 3, 1): 4,
    (2, 48, 96, 16, 3, 2): 1,
    (2, 48, 96, 16, 1, 2): 1,
    (2, 96, 96, 8, 3, 1): 3,
    (2, 144, 48, 16, 3, 1): 1,
    (2, 72, 24, 32, 3, 1): 1,
    (2, 24, 6, 32, 1, 1): 1,
}


class Program:
    """This program's half."""

    def __init__(self, path, threads):
        environment = dict(os.environ, RAYON_NUM_THREADS=str(threads))
        self.process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"the program ended while it was asked for: {words}")
        return float(answer)


def network(preset="compact"):
    """The same network with PyTorch's layers."""
    if preset == "resnet34":
        fixture.WIDTHS, fixture.BLOCKS = (64, 128, 256, 512), (3, 4, 6, 3)
    else:
        fixture.WIDTHS, fixture.BLOCKS = (24, 48, 96), (1, 2, 2)
    fixture.CLASSES = CLASSES
    return fixture.Network()


def timed(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def alternate(turns, ours, theirs):
    """Best times of both, taking turns."""
    best = [float("inf")] * 2
    for _ in range(turns):
        best[0] = min(best[0], ours())
        best[1] = min(best[1], theirs())
    return best


def convolutions(program, turns):
    """Rows of the table; and, for all convolutions of a compact training step, the seconds of both and the operations."""
    rows, whole = [], [0.0, 0.0, 0.0]
    for shape in CONVOLUTIONS:
        batch, channels_in, channels_out, edge, kernel, stride = shape
        x = torch.randn(batch, channels_in, edge, edge, edge)
        w = torch.randn(channels_out, channels_in, kernel, kernel, kernel)
        y = F.conv3d(x, w, stride=stride, padding=kernel // 2)
        g = torch.randn_like(y)
        operations = 2 * y.numel() * channels_in * kernel**3

        def backward(mask):
            torch.ops.aten.convolution_backward(
                g, x, w, None, [stride] * 3, [kernel // 2] * 3, [1] * 3, False, [0] * 3, 1, mask
            )

        theirs = {
            "forward": lambda: F.conv3d(x, w, stride=stride, padding=kernel // 2),
            "input": lambda: backward([True, False, False]),
            "weight": lambda: backward([False, True, False]),
        }
        times = {}
        for name, function in theirs.items():
            function()
            ask = lambda: program.ask("conv", name, batch, channels_in, channels_out, edge, kernel, stride)
            times[name] = alternate(turns, ask, lambda: min(timed(function) for _ in range(3)))
        both = [sum(times[name][side] for name in times) for side in (0, 1)]
        count = IN_COMPACT.get(shape, 0)
        # The tomogram's own gradient is not computed.
        passes = 2 if channels_in == 1 else 3
        used = [both[side] - (times["input"][side] if passes == 2 else 0) for side in (0, 1)]
        whole = [whole[0] + count * used[0], whole[1] + count * used[1], whole[2] + count * passes * operations]
        rows.append(
            [f"{channels_in} -> {channels_out}, {edge}^3, kernel {kernel}, stride {stride}, batch {batch}"]
            + [f"{operations / times[n][0] / 1e9:.0f} ({operations / times[n][1] / 1e9:.0f})" for n in times]
            + [f"{times['forward'][1] / times['forward'][0]:.2f}", f"{both[1] / both[0]:.2f}"]
        )
        print("  ".join(rows[-1]), file=sys.stderr, flush=True)
    return rows, whole


def step(crop, batch):
    """A training step in PyTorch: the same loss, clipping, Adam and running average; crops are given, not drawn."""
    net = network()
    average = [p.detach().clone() for p in net.parameters()]
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    x = torch.randn(batch, 1, crop, crop, crop)
    target = torch.rand(batch, CLASSES, crop // 2, crop // 2, crop // 2) ** 8
    weight = torch.ones_like(target)

    def run():
        optimiser.zero_grad()
        out = net(x)
        loss = (weight * (target + ALPHA) * (out - target) ** 2).sum() / weight.sum()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        with torch.no_grad():
            torch._foreach_lerp_(average, list(net.parameters()), 0.01)
        return loss.item()

    return run


@torch.no_grad()
def tomogram(net, volume, window, overlap):
    """A sliding window with Gaussian weights, as the PyTorch versions of such pickers do it."""
    shape = volume.shape
    window = [min(window, -(-n // 8) * 8) for n in shape]
    pad = [max(0, w - n) for w, n in zip(window, shape)]
    volume = F.pad(volume, (0, pad[2], 0, pad[1], 0, pad[0]))
    starts = []
    for n, w in zip(volume.shape, window):
        travel = n - w
        count = 1 + -(-travel // (w - overlap)) if travel > 0 else 1
        starts.append(sorted({min(travel, -(-travel * i // max(1, count - 1)) // 2 * 2) for i in range(count)} | {travel // 2 * 2}))
    cells = [(n + 1) // 2 for n in volume.shape]
    total, weights = torch.zeros(CLASSES, *cells), torch.zeros(cells)
    axes = [torch.exp(-0.5 * ((torch.arange(w // 2) - (w / 2 - 1) / 2) / (w / 8)) ** 2) for w in window]
    kernel = axes[0][:, None, None] * axes[1][None, :, None] * axes[2][None, None, :]
    for z in starts[0]:
        for y in starts[1]:
            for x in starts[2]:
                crop = volume[z : z + window[0], y : y + window[1], x : x + window[2]]
                out = net(crop[None, None])[0]
                place = tuple(slice(s // 2, s // 2 + w // 2) for s, w in zip((z, y, x), window))
                total[(slice(None), *place)] += out * kernel
                weights[place] += kernel
    total /= weights.clamp_min(1e-6)
    # The same suppression: local maxima of a max-pool.
    pooled = F.max_pool3d(total[None], 5, 1, 2)[0]
    return torch.nonzero((total == pooled) & (total > 0.05))


def same_values(program, preset):
    """The largest difference between the outputs of both with the same weights on the same voxels."""
    with tempfile.TemporaryDirectory() as folder:
        program.ask("save", preset, folder)
        read = lambda name: torch.from_numpy(numpy.fromfile(f"{folder}/{name}.f32", dtype="<f4"))
        net = network(preset)
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                parameter.copy_(read(name).reshape(parameter.shape))
            ours = read("output")
            theirs = net(read("input").reshape(2, 1, 32, 48, 64)).flatten()
        return (ours - theirs).abs().max().item(), theirs.abs().max().item()


def main():
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("--program", required=True)
    a.add_argument("--threads", type=int, default=os.cpu_count())
    a.add_argument("--quick", action="store_true", help="fewer turns, no whole tomograms of the larger network")
    a.add_argument("--markdown", help="also write the tables to this file")
    options = a.parse_args()
    torch.set_num_threads(options.threads)
    program = Program(options.program, options.threads)
    turns = 3 if options.quick else 8
    lines = []

    def say(line=""):
        print(line, flush=True)
        lines.append(line)

    def table(head, rows):
        say("| " + " | ".join(head) + " |")
        say("|" + "---|" * len(head))
        for row in rows:
            say("| " + " | ".join(row) + " |")
        say()

    say(f"PyTorch {torch.__version__}, {options.threads} threads, load {os.getloadavg()[0]:.2f} at the start.")
    peak = program.ask("peak", options.threads)
    say(f"A plain loop of multiply-adds: {program.ask('peak', 1) / 1e9:.0f} GFLOP/s on one thread, {peak / 1e9:.0f} on "
        f"{options.threads}. A copy of 64 MB: {program.ask('copy', options.threads) / 1e9:.1f} GB/s read and as much written.")
    say()
    rows = []
    for preset in ("compact", "resnet34"):
        difference, largest = same_values(program, preset)
        rows.append([preset, f"{difference:.1e}", f"{largest:.2f}"])
    table(["same weights, same voxels", "largest difference of the output", "largest output"], rows)

    rows, (ours_convolutions, their_convolutions, operations) = convolutions(program, turns)
    table(["convolution", "forward, GFLOP/s (PyTorch)", "input gradient", "weight gradient", "ratio forward", "ratio forward + backward"], rows)

    rows = []
    for crop, batch in ((64, 2), (64, 1), (48, 2)):
        run = step(crop, batch)
        run()
        ours, theirs = alternate(turns, lambda: program.ask("step", crop, batch), lambda: timed(run))
        rows.append([f"training step, compact, {crop}^3, batch {batch}", f"{ours:.3f}", f"{theirs:.3f}", f"{theirs / ours:.2f}"])
        if (crop, batch) == (64, 2):
            split = [
                ["its convolutions, forward and both gradients", f"{ours_convolutions:.3f}", f"{their_convolutions:.3f}"],
                ["floor of these: direct summation at the rate of the plain loop"] + [f"{operations / peak:.3f}"] * 2,
                ["all of the step", f"{ours:.3f}", f"{theirs:.3f}"],
                ["the rest: normalisation, upsampling, loss, optimiser, average; here also the crops",
                 f"{ours - ours_convolutions:.3f}", f"{theirs - their_convolutions:.3f}"],
            ]
    shapes = [(72, 208, 208)] if options.quick else [(72, 208, 208), (144, 416, 208)]
    for shape in shapes:
        net, volume = network().eval(), torch.randn(shape)
        for window, overlap in ((96, 24), (128, 24)):
            tomogram(net, volume[:, :96, :96], window, overlap)
            ask = lambda: program.ask("pick", *shape, "compact")
            ours, theirs = alternate(max(2, turns // 3), ask, lambda: timed(lambda: tomogram(net, volume, window, overlap)))
            name = f"tomogram {'x'.join(map(str, shape))}, compact (PyTorch: windows of {window}, overlap {overlap})"
            rows.append([name, f"{ours:.2f}", f"{theirs:.2f}", f"{theirs / ours:.2f}"])
    table(["", "this program, s", "PyTorch, s", "ratio"], rows)
    table(["a training step, compact, 64^3, batch 2", "this program, s", "PyTorch, s"], split)
    if options.markdown:
        pathlib.Path(options.markdown).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
