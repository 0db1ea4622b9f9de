#!/usr/bin/env python3
"""Trains and scores every method on a folder of tomograms, and writes the tables and plots of docs/results.md.

Started by reproduce.sh. The folder holds NAME.mrc with NAME.csv (class,x,y,z in angstrom) for labelled-*, unlabelled-* and test-*, and
classes.toml; without a folder the program simulates one. Every finished run leaves its scores in the work folder, so that a
second start goes on where the first ended, and asking for more seeds computes only those. Runs of one seed share their burn-in:
each continues from its checkpoint, as `train --resume` does for anybody. With --jobs N that many runs go on side by side.
"""
import argparse
import concurrent.futures
import csv
import json
import os
import pathlib
import random
import re
import shlex
import statistics
import subprocess
import sys
import threading
import time

LABEL_COUNTS = (5, 10, 20, 50)
PARTS = ["table2", "table1", "third", "sparse", "sweeps", "times"]
# What picks in the table of times: presets of the network, and the compact one as a segmentation.
TIMED = ["compact", "fpn-compact", "vnet-compact", "segmentation", "fpn", "resnet34", "vnet"]


class Row:
    """A way to train: a name for people, the flags, and which tomograms it learns from.

    `labels(grid, count, seed)` says what is taught of `count` labelled tomograms: pairs of a tomogram and its labels, the flags that
    say what those labels mean, and the tomograms that are left without labels. `folder` names what it leaves in the work folder.
    A row that `carries` learns from labels alone and has its thresholds carried over to those tomograms.
    """

    def __init__(
        self, key, title, flags=(), *, unlabelled=False, carries=False, shares_burn_in=False, labels=None, folder="labelled{count}"
    ):
        self.key, self.title, self.flags = key, title, list(flags)
        self.unlabelled, self.carries, self.shares_burn_in = unlabelled, carries, shares_burn_in
        self.labels, self.named = labels or Grid.labels_of_tomograms, folder

    def folder(self, count):
        """Where runs with `count` labelled tomograms are kept."""
        return self.named.format(count=count)


def rows_of_table():
    """Table 1 of arXiv 2510.22454 and its ablation; the order is that of the paper."""
    co = dict(unlabelled=True, shares_burn_in=True)
    return [
        Row("full", "supervised, all labels", labels=Grid.all_labels),
        Row("supervised", "supervised", shares_burn_in=True),
        Row("segmentation", "segmentation (DeepFindET's way)", ["--detector", "segmentation"]),
        Row("vnet", "VNet", ["--network", "vnet-compact"]),
        Row("fpn", "FPN", ["--network", "fpn-compact"]),
        Row("mean-teacher", "mean teacher", ["--method", "mean-teacher"], **co),
        Row("multi-view", "mean teacher + multi-view", ["--method", "semi", "--drop-block", "0"], **co),
        Row("semi", "mean teacher + multi-view + DropBlock", ["--method", "semi"], **co),
    ]


def sweeps():
    """What the paper leaves open: each value against the default."""
    co = dict(unlabelled=True, shares_burn_in=True)
    semi = ["--method", "semi"]
    rows = [Row(f"ema-{v}", f"EMA {v}", semi + ["--ema", v], **co) for v in ("0.98", "0.995", "0.999")]
    rows += [Row(f"lambda-{v}", f"lambda {v}", semi + ["--consistency", v], **co) for v in ("0.3", "3")]
    rows += [Row(f"ramp-{v}", f"ramp {v}", semi + ["--ramp", v], **co) for v in ("1", "200")]
    rows += [Row(f"drop-{v}", f"dropped {v}", semi + ["--drop-block", v], **co) for v in ("0.05", "0.2", "0.3")]
    rows += [Row("no-carry", "thresholds not carried over", semi + ["--no-carry"], **co)]
    rows += [Row("carried", "thresholds carried over", carries=True, shares_burn_in=True)]
    rows += [Row(f"background-{v}", f"background below {v}", semi + ["--background", v], **co) for v in ("0", "0.1")]
    rows += [Row(f"alpha-{v}", f"alpha {v}", ["--alpha", v]) for v in ("0.05", "0.25", "1")]
    rows += [Row(f"rate-{v}", f"learning rate {v}", ["--learning-rate", v]) for v in ("0.001", "0.004")]
    rows += [Row(f"balance-{v}", f"balance {v}", ["--balance", v]) for v in ("0", "1")]
    rows += [Row(f"rivals-{v}", f"rivals {v}", ["--rivals", v], shares_burn_in=True) for v in ("0", "1")]
    rows += [Row(f"stride-{v}", f"output stride {v}", ["--output-stride", v]) for v in ("2", "4")]
    return rows


class Grid:
    def __init__(self, options):
        self.o = options
        self.data = pathlib.Path(options.data)
        self.work = pathlib.Path(options.work)
        self.work.mkdir(parents=True, exist_ok=True)
        self.classes = self.data / "classes.toml" if not options.classes else pathlib.Path(options.classes)
        part = lambda kind: sorted(self.data.glob(f"{kind}-*.mrc"))
        self.labelled, self.unlabelled, self.test = part("labelled"), part("unlabelled"), part("test")
        if not (self.labelled and self.unlabelled and self.test and self.classes.exists()):
            sys.exit(f"need labelled-*.mrc, unlabelled-*.mrc, test-*.mrc and classes.toml: {self.data}")
        self.total = options.burn_in + options.cotrain
        # One for each burn-in, so that of the runs that share it the first to come makes it.
        self.locks, self.locks_lock = {}, threading.Lock()
        # Runs side by side share the processor.
        threads = max(1, (os.cpu_count() or 1) // options.jobs)
        self.environment = {"RAYON_NUM_THREADS": str(threads), **os.environ} if options.jobs > 1 else None

    def run(self, *arguments):
        command = [self.o.program, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)}\n{done.stderr[-3000:]}")
        return done

    def common(self, seed, flags):
        """What every training from fresh weights is given besides a row's own flags."""
        o = self.o
        has_own = "--output-stride" in flags or any(str(flag).startswith("vnet") for flag in flags)
        stride = [] if o.output_stride is None or has_own else ["--output-stride", o.output_stride]
        return ["--classes", self.classes, "--crop", o.crop, "--batch", o.batch, "--seed", seed, "--device", o.device, *stride]

    def labels_of_tomograms(self, count, seed):
        """All labels of the first `count` labelled tomograms."""
        return self.pairs(self.labelled[:count]), [], self.unlabelled + self.labelled[count:]

    def all_labels(self, count, seed):
        """Those of the tomograms that the other rows have without labels too: the upper bound."""
        return self.pairs(self.labelled[:count] + self.unlabelled), [], self.labelled[count:]

    def sparse_labels(self, per_class, seed):
        """`per_class` labels of each class, drawn from all labelled tomograms; nothing is known of the rest."""
        folder = self.work / f"sparse-{per_class}-{seed}"
        folder.mkdir(exist_ok=True)
        rows = []
        for file in self.labelled:
            with open(file.with_suffix(".csv")) as text:
                rows += [(file.stem, row) for row in csv.DictReader(text)]
        names = sorted({row["class"] for _, row in rows} & set(self.class_names()))
        draw = random.Random(1000 * seed + per_class)
        chosen = []
        for name in names:
            of_class = [row for row in rows if row[1]["class"] == name]
            chosen += draw.sample(of_class, min(per_class, len(of_class)))
        pairs = []
        for file in self.labelled:
            here = [row for stem, row in chosen if stem == file.stem]
            if here:
                target = folder / f"{file.stem}.csv"
                self.write_labels(target, here)
                pairs.append(f"{file}={target}")
        return pairs, ["--sparse"], self.unlabelled

    def labels_of_a_third(self, count, seed):
        """Those of the first third, along x, of the first labelled tomogram, which is complete there."""
        file = self.labelled[0]
        info = json.loads(self.run("info", "--json", file).stdout)
        (depth, height, width), spacing = info["shape"], info["spacing_angstrom"]
        edge = round(width / 3)
        target = self.work / "third.csv"
        with open(file.with_suffix(".csv")) as text:
            self.write_labels(target, [row for row in csv.DictReader(text) if float(position(row)[0]) < edge * spacing])
        region = ["--region", f"{file}=0,0,0,{edge},{height},{depth}"]
        return [f"{file}={target}"], region, self.unlabelled + self.labelled[1:]

    @staticmethod
    def write_labels(file, rows):
        with open(file, "w", newline="") as text:
            writer = csv.writer(text)
            writer.writerow(["class", "x_angstrom", "y_angstrom", "z_angstrom"])
            writer.writerows([row["class"], *position(row)] for row in rows)

    def class_names(self):
        return re.findall(r'name\s*=\s*"([^"]+)"', self.classes.read_text())

    def pairs(self, files):
        return [f"{file}={file.with_suffix('.csv')}" for file in files]

    def train(self, row, count, seed, folder):
        """Trains a row's model; returns it with its seconds."""
        o, model = self.o, folder / "model"
        labels, meaning, rest = row.labels(self, count, seed)
        taught = ["--labelled", *labels, *meaning, *shlex.split(o.extra)]
        given = taught + (["--unlabelled", *rest] if row.unlabelled or row.carries else [])
        started = time.time()
        if not row.shares_burn_in:
            flags = ["--method", "supervised", "--burn-in", self.total] + row.flags
            self.run("train", *given, *self.common(seed, flags), *flags, "--out", model)
            return model, time.time() - started
        # Burn-in: the same for all, planned as long as the whole so that the learning rate is that of the whole.
        burnt = self.work / f"burn-in-{row.folder(count)}" / f"seed-{seed}"
        run = burnt / "run"
        with self.locks_lock:
            lock = self.locks.setdefault(burnt, threading.Lock())
        with lock:
            if not run.exists():
                burnt.mkdir(parents=True, exist_ok=True)
                partial = burnt / "run.partial"
                plan = ["--method", "supervised", "--burn-in", self.total, "--stop-after", o.burn_in, "--checkpoint", partial]
                self.run("train", *taught, *self.common(seed, plan), *plan, "--out", burnt / "model")
                partial.rename(run)
        stages = ["--burn-in", self.total, "--method", "supervised"]
        if row.unlabelled:
            stages = ["--burn-in", o.burn_in, "--cotrain", o.cotrain]
        # Crop and seed are those of the run.
        common = ["--classes", self.classes, "--device", o.device]
        self.run("train", *given, *common, "--resume", run, *stages, *row.flags, "--out", model)
        return model, time.time() - started

    def score(self, row, count, seed):
        """The scores of a run, computed when they are not there yet."""
        folder = self.work / row.folder(count) / row.key / f"seed-{seed}"
        file = folder / "scores.json"
        if file.exists():
            return json.loads(file.read_text())
        folder.mkdir(parents=True, exist_ok=True)
        model, seconds = self.train(row, count, seed, folder)
        self.run("pick", "--model", model, *self.test, "--out", folder / "picks", "--overwrite", "--tta", "--device", self.o.device)
        stems = [file.stem for file in self.test]
        picks = [folder / "picks" / f"{stem}.csv" for stem in stems]
        truth = [file.with_suffix(".csv") for file in self.test]
        answer = self.run("evaluate", "--picks", *picks, "--truth", *truth, "--classes", self.classes, "--json")
        if "warning: " in answer.stderr:
            # Picks that the truth says nothing of would be counted as none.
            sys.exit(f"evaluate: {answer.stderr}")
        scores = json.loads(answer.stdout)
        scores["seconds"] = seconds
        partial = file.with_suffix(".tmp")
        partial.write_text(json.dumps(scores, indent=1))
        partial.rename(file)
        if not self.o.keep:
            model.unlink(missing_ok=True)
        what = f"{time.strftime('%H:%M')} {row.folder(count)}, {row.key}, seed {seed}"
        print(f"{what}: F1@0.5 {scores['mean']['f1@0.5']:.3f}, {seconds:.0f} s", flush=True)
        return scores


def position(row):
    """x, y and z of a row of labels, in angstrom."""
    return [row.get(f"{axis}_angstrom") or row[axis] for axis in "xyz"]


def spread(values):
    """Mean and standard deviation, for people."""
    values = list(values)
    if not values:
        return "–"
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}"


def finished(grid, row, count, seeds):
    """Scores of the seeds that are there."""
    files = [grid.work / row.folder(count) / row.key / f"seed-{seed}" / "scores.json" for seed in range(seeds)]
    return [json.loads(file.read_text()) for file in files if file.exists()]


def f1(scores, key="f1@0.5"):
    return [score["mean"][key] for score in scores]


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def report(grid):
    """The document's tables, of whatever is finished."""
    o, parts = grid.o, []
    names = grid.class_names()
    for count in (2, 1):
        body = []
        for row in rows_of_table():
            scores = finished(grid, row, 2 if row.key == "full" else count, o.seeds)
            if scores:
                per_class = [spread([s["classes"][name]["f1@0.5"] for s in scores]).split(" ±")[0] for name in names]
                body.append([row.title, str(len(scores)), spread(f1(scores)), spread(f1(scores, "f1@0.75"))] + per_class)
        if body:
            head = ["", "seeds", "F1@0.5", "F1@0.75"] + names
            parts.append(f"### {count} labelled tomogram{'s' if count > 1 else ''}\n\n" + table(head, body))
    # Paired by seed: all continue from the same burn-in, so that much of the spread cancels.
    body = []
    for count in (2, 1):
        base = finished(grid, rows_of_table()[1], count, o.seeds)
        before = base
        for row in [r for r in rows_of_table() if r.unlabelled]:
            scores = finished(grid, row, count, o.seeds)
            if scores and base:
                gains = [b - a for a, b in zip(f1(base), f1(scores))]
                steps = [b - a for a, b in zip(f1(before), f1(scores))]
                body.append([str(count), row.title, spread(gains), spread(steps)])
            before = scores
    if body:
        head = ["labelled", "", "over supervised", "over the row before"]
        parts.append("### What each part is worth\n\nDifferences of F1@0.5, seed by seed.\n\n" + table(head, body))
    default = finished(grid, rows_of_table()[-1], 2, o.sweep_seeds)
    supervised = finished(grid, rows_of_table()[1], 2, o.sweep_seeds)
    body = []
    for row in sweeps():
        scores = finished(grid, row, 2, o.sweep_seeds)
        against = default if row.unlabelled else supervised
        if scores and against:
            gains = [b - a for a, b in zip(f1(against), f1(scores))]
            body.append([row.title, "semi" if row.unlabelled else "supervised", str(len(scores)), spread(f1(scores)), spread(gains)])
    if body:
        head = ["setting", "of", "seeds", "F1@0.5", "minus the default"]
        parts.append("### Settings that the paper leaves open\n\n" + table(head, body))
    body = []
    for labels in LABEL_COUNTS:
        cells = [spread(f1(finished(grid, row, 2, o.seeds))) for row in sparse_rows(labels)]
        if any(cell != "–" for cell in cells):
            body.append([str(labels)] + cells)
    if body:
        parts.append("### Sparse labels\n\n" + table(["labels per class", "supervised", "semi"], body))
    cells = [spread(f1(finished(grid, row, 1, o.seeds))) for row in third_rows()]
    if any(cell != "–" for cell in cells):
        parts.append("### A third of one tomogram, complete\n\n" + table([row.title for row in third_rows()], [cells]))
    times = grid.work / "times.json"
    if times.exists():
        columns = ["network", "parameters", "device", "first", "second", "whole"]
        body = [[row[column] for column in columns] for row in json.loads(times.read_text())]
        head = ["network", "parameters", "device", "seconds, first", "again", "the whole command"]
        parts.append("### Time to pick one tomogram of 184 x 630 x 630 voxels\n\n" + table(head, body))
    return "\n\n".join(parts) + "\n"


def sparse_rows(labels):
    drawn = lambda grid, _, seed: grid.sparse_labels(labels, seed)
    of = dict(shares_burn_in=True, labels=drawn, folder=f"sparse{labels}")
    return [
        Row("sparse-supervised", "supervised", **of),
        Row("sparse-semi", "semi", ["--method", "semi"], unlabelled=True, **of),
    ]


def third_rows():
    of = dict(shares_burn_in=True, labels=Grid.labels_of_a_third, folder="third")
    return [
        Row("third-supervised", "supervised", **of),
        Row("third-carried", "supervised, thresholds carried over", carries=True, **of),
        Row("third-semi", "semi", ["--method", "semi"], unlabelled=True, **of),
    ]


def plots(grid, folder):
    """Bars of the tables and the curve over the number of labels, with the figures that they show in seeds.csv."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "semietpicker"
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    o = grid.o
    with open(folder / "seeds.csv", "w", newline="") as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["taught", "row", "seed", "f1@0.5"])
        for file in sorted(grid.work.glob("*/*/seed-*/scores.json")):
            f = json.loads(file.read_text())["mean"]["f1@0.5"]
            writer.writerow([*file.parts[-4:-2], file.parts[-2].removeprefix("seed-"), f"{f:.4f}"])
    shown = {count: {row.title: f1(finished(grid, row, count, o.seeds)) for row in rows_of_table()} for count in (2, 1)}
    titles = [row.title for row in rows_of_table() if any(shown[count][row.title] for count in shown)]
    if titles:
        figure, axes = plt.subplots(figsize=(7.5, 0.6 + 0.4 * len(titles)))
        for count, offset, colour in ((2, -0.15, "#0072B2"), (1, 0.15, "#E69F00")):
            rows = [(place + offset, shown[count][title]) for place, title in enumerate(titles) if shown[count][title]]
            if rows:
                errors = [statistics.stdev(values) if len(values) > 1 else 0 for _, values in rows]
                axes.errorbar([statistics.mean(values) for _, values in rows], [place for place, _ in rows], xerr=errors, fmt="o",
                              capsize=3, label=f"{count} labelled", color=colour)
            for place, values in rows:
                axes.plot(values, [place] * len(values), "|", color="black", markersize=7)
        axes.set_yticks(range(len(titles)), titles)
        axes.invert_yaxis()
        axes.set_xlabel("mean F1 at half the radius (strokes: seeds; bars: their deviation)")
        axes.legend(frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
        figure.tight_layout()
        figure.savefig(folder / "methods.svg", metadata={"Date": None})
    figure, axes = plt.subplots(figsize=(4.8, 3.2))
    drawn = False
    for index, (title, colour) in enumerate((("supervised", "#E69F00"), ("semi", "#0072B2"))):
        points = [(n, f1(finished(grid, sparse_rows(n)[index], 2, o.seeds))) for n in LABEL_COUNTS]
        points = [(n, values) for n, values in points if values]
        if points:
            drawn = True
            means = [statistics.mean(v) for _, v in points]
            errors = [statistics.stdev(v) if len(v) > 1 else 0 for _, v in points]
            # Side by side, so that neither hides the other's bars.
            places = [n * (0.97, 1.03)[index] for n, _ in points]
            axes.errorbar(places, means, errors, fmt="o-", capsize=3, label=title, color=colour)
    if drawn:
        axes.set_xscale("log")
        axes.set_xticks(LABEL_COUNTS, [str(n) for n in LABEL_COUNTS])
        axes.minorticks_off()
        axes.set_xlabel("labels per class")
        axes.set_ylabel("mean F1 at half the radius")
        axes.legend(frameon=False)
        figure.tight_layout()
        figure.savefig(folder / "labels.svg", metadata={"Date": None})


def measure_times(grid):
    """Seconds to pick one whole tomogram, with weights that need not be good."""
    file = grid.work / "times.json"
    done = {row["network"]: row for row in json.loads(file.read_text())} if file.exists() else {}
    folder = grid.work / "large"
    if not any(folder.glob("*.mrc")):
        grid.run("simulate", "--out", folder, "--count", 1, "--shape", 184, 630, 630)
    tomogram = next(folder.glob("*.mrc"))
    for network in grid.o.networks:
        title = "compact, segmentation" if network == "segmentation" else network
        if title in done:
            continue
        model = grid.work / f"time-{network}.model"
        flags = ["--detector", "segmentation"] if network == "segmentation" else ["--network", network]
        trained = grid.run("train", "--labelled", *grid.pairs(grid.labelled[:1]), *grid.common(0, flags), *flags, "--method", "supervised",
                           "--burn-in", 1, "--out", model)
        parameters = re.search(r"training (\d+) parameters", trained.stderr)[1]
        pick = ["pick", "--model", model, tomogram, "--out", grid.work / "time-picks", "--overwrite", "--device", grid.o.device,
                "--spacing", 10]
        device, own, whole = "", [], []
        # Twice: on a GPU the first start compiles kernels, which the program keeps.
        for _ in range(2):
            started = time.time()
            said = grid.run(*pick).stderr
            whole.append(time.time() - started)
            own.append(float(re.search(r"picks in ([\d.]+) s", said)[1]))
            device = re.search(r"picking on (.*)", said)[1]
        done[title] = {"network": title, "device": device, "parameters": f"{int(parameters) / 1e6:.2f} million",
                       "first": f"{own[0]:.2f}", "second": f"{own[1]:.2f}", "whole": f"{whole[1]:.2f}"}
        file.write_text(json.dumps(list(done.values()), indent=1))
        print(title, done[title], flush=True)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--program", required=True)
    a.add_argument("--data", help="the folder; simulated when it is not given")
    a.add_argument("--shift", action="store_true", help="simulate labelled tomograms at 2 micrometre of underfocus and all others at 5")
    a.add_argument("--classes", help="the list of classes, if it is not classes.toml in the folder")
    a.add_argument("--work", required=True, help="where runs are kept")
    a.add_argument("--parts", nargs="*", default=PARTS, choices=PARTS)
    a.add_argument("--only", nargs="*", help="only these rows, by key")
    a.add_argument("--seeds", type=int, default=3)
    a.add_argument("--sweep-seeds", type=int, default=1)
    a.add_argument("--burn-in", type=int, default=600)
    a.add_argument("--cotrain", type=int, default=600)
    a.add_argument("--crop", type=int, default=64)
    a.add_argument("--batch", type=int, default=2)
    a.add_argument("--output-stride", type=int, help="of every row but the V-Nets and those that sweep it; the program chooses when it is not given")
    a.add_argument("--device", default="auto")
    a.add_argument("--jobs", type=int, default=1, help="runs that go on side by side, each on its share of the processor")
    a.add_argument("--networks", nargs="*", default=TIMED, choices=TIMED, help="what `times` measures")
    a.add_argument("--extra", default="", help="further flags of train, for every row: --extra='--rivals 0'")
    a.add_argument("--keep", action="store_true", help="keep the models")
    a.add_argument("--report", help="write the tables to this file")
    a.add_argument("--figures", help="write the plots into this folder; needs matplotlib")
    o = a.parse_args()
    if not o.data:
        o.data = os.path.join(o.work, "shifted" if o.shift else "simulated")
        simulate(o)
    grid = Grid(o)
    tasks = planned(grid)
    if o.jobs == 1:
        for task in tasks:
            grid.score(*task)
    else:
        with concurrent.futures.ThreadPoolExecutor(o.jobs) as pool:
            try:
                for done in concurrent.futures.as_completed([pool.submit(grid.score, *task) for task in tasks]):
                    done.result()
            except BaseException:
                # After one that failed, or an interrupt, no further run begins.
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    if "times" in o.parts:
        # Alone on the processor.
        grid.environment = None
        measure_times(grid)
    text = report(grid)
    if o.report:
        pathlib.Path(o.report).write_text(text)
    print(text)
    if o.figures:
        plots(grid, pathlib.Path(o.figures))


def planned(grid):
    """What the chosen parts train and score: rows with the number of labelled tomograms and the seed, in order."""
    o, tasks = grid.o, []
    for part in o.parts:
        if part in ("table2", "table1"):
            rows = [(row, int(part[-1])) for row in rows_of_table() if row.key != "full" or part == "table2"]
        elif part == "third":
            rows = [(row, 1) for row in third_rows()]
        elif part == "sparse":
            rows = [(row, len(grid.labelled)) for labels in LABEL_COUNTS for row in sparse_rows(labels)]
        elif part == "sweeps":
            rows = [(row, 2) for row in sweeps()]
        else:
            continue
        seeds = o.sweep_seeds if part == "sweeps" else o.seeds
        tasks += [(row, count, seed) for seed in range(seeds) for row, count in rows if not o.only or row.key in o.only]
    return tasks


def simulate(o):
    """Twelve tomograms of the project's own simulator, in the folder's form; with `--shift` all but the labelled ones are taken further
    from focus."""
    near, far = (["--defocus", 2, "--defocus-spread", 0], ["--defocus", 5]) if o.shift else ([], [])
    for kind, count, seed, flags in (("labelled", 2, 1, near), ("unlabelled", 6, 3, far), ("test", 4, 9, far)):
        if (pathlib.Path(o.data) / f"{kind}-{count}.csv").exists():
            continue
        command = [o.program, "simulate", "--out", o.data, "--name", kind, "--count", count, "--seed", seed, *flags]
        subprocess.run(list(map(str, command)), check=True, stdout=sys.stderr)


if __name__ == "__main__":
    main()
