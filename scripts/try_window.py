#!/usr/bin/env python3
"""Works the real window with a real pointer and real keys on a virtual display, and checks what came of it.

Started by try_window.sh. Labels simulated particles, takes one back and repeats it, trains, pauses, stops, kills the program and
opens it again. What is checked lies on the disk: the project's labels against the simulator's positions, and the checkpoint of
the run. Pictures of each state are left in the folder for whoever wants to look.
"""
import argparse
import csv
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

WIDTH, HEIGHT = 1440, 860
# Where things are in a window of that size with one tomogram of 72 x 208 x 208 voxels; see the pictures.
NAME, RADIUS, ADD = (1194, 114), (1279, 114), (1343, 114)
VIEW_LEFT, VIEW_TOP, POINTS_PER_VOXEL = 219.8, 161.5, 2.7216
DEPTH = 72


class Window:
    def __init__(self, program, arguments, folder):
        self.folder = folder
        environment = dict(os.environ, XDG_RUNTIME_DIR=str(folder / "runtime"), XDG_DATA_HOME=str(folder / "data"),
                           XDG_CONFIG_HOME=str(folder / "config"))
        for name in ("runtime", "data", "config"):
            (folder / name).mkdir(exist_ok=True, mode=0o700)
        self.process = subprocess.Popen([program, *arguments], env=environment, stdout=subprocess.DEVNULL,
                                        stderr=open(folder / "window.log", "a"))
        self.wait(lambda: self.xdotool("search", "--onlyvisible", "--name", "SemiETPicker").strip(), "the window opens", 60)
        time.sleep(4)
        self.xdotool("search", "--name", "SemiETPicker", "windowfocus")
        time.sleep(1)

    def xdotool(self, *arguments):
        return subprocess.run(["xdotool", *map(str, arguments)], capture_output=True, text=True).stdout

    def wait(self, condition, what, seconds):
        end = time.time() + seconds
        while time.time() < end:
            if condition():
                return
            if self.process.poll() is not None:
                sys.exit(f"the program has ended; see {self.folder / 'window.log'}")
            time.sleep(0.3)
        self.picture("failed")
        sys.exit(f"it did not happen within {seconds} s: {what}; see {self.folder / 'failed.png'}")

    def click(self, place, button=1):
        self.xdotool("mousemove", *place)
        time.sleep(0.15)
        self.xdotool("click", button)
        time.sleep(0.35)

    def key(self, key, count=1):
        for _ in range(count):
            self.xdotool("key", "--clearmodifiers", key)
            time.sleep(0.06)
        time.sleep(0.2)

    def type(self, text):
        self.xdotool("type", "--delay", "40", text)
        time.sleep(0.3)

    def picture(self, name):
        subprocess.run(["import", "-window", "root", str(self.folder / f"{name}.png")], check=False)


def labels(program, folder):
    """The labels in the only project, as `export` writes them: (x, y, z) in voxels."""
    project = next(iter((folder / "data").rglob("project.json"))).parent
    out = folder / "exported"
    done = subprocess.run([program, "export", str(project), "--out", str(out), "--overwrite", "--format", "csv"],
                          capture_output=True, text=True)
    if done.returncode != 0:
        return project, []
    rows = [row for file in sorted(out.glob("*.csv")) for row in csv.DictReader(open(file))]
    return project, [tuple(float(row[f"{axis}_voxel"]) for axis in "xyz") for row in rows]


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--program", required=True)
    a.add_argument("--folder", required=True, help="an empty folder for the project and the pictures")
    o = a.parse_args()
    folder = pathlib.Path(o.folder)
    subprocess.run([o.program, "simulate", "--out", folder / "sim", "--seed", "5", "--noise", "0.3"], check=True, stdout=subprocess.DEVNULL)
    tomogram = next((folder / "sim").glob("*.mrc"))
    rows = list(csv.DictReader(open(tomogram.with_suffix(".csv"))))
    largest = max({row["class"] for row in rows}, key=lambda name: (name == "ribosome", name))
    truth = sorted((tuple(float(row[f"{axis}_voxel"]) for axis in "xyz") for row in rows if row["class"] == largest), key=lambda p: p[2])

    window = Window(o.program, [str(tomogram)], folder)
    window.picture("1-first-steps")
    window.key("Escape")
    window.click(NAME)
    window.type(largest)
    window.click(RADIUS)
    window.key("ctrl+a")
    window.type("150")
    window.key("Return")
    window.click(ADD)
    slice_at = DEPTH // 2
    chosen = truth[:10]
    window.xdotool("mousemove", 500, 440)
    for x, y, z in chosen:
        step = round(z) - slice_at
        window.key("Prior" if step > 0 else "Next", abs(step))
        slice_at = round(z)
        window.click((round(VIEW_LEFT + (x + 0.5) * POINTS_PER_VOXEL), round(VIEW_TOP + (y + 0.5) * POINTS_PER_VOXEL)))
    window.picture("2-labelled")
    project, found = labels(o.program, folder)
    print(f"{len(found)} labels from {len(chosen)} clicks: {project}")
    far = [p for p in found if min(sum((a - b) ** 2 for a, b in zip(p, q)) ** 0.5 for q in chosen) > 1.5]
    assert len(found) == len(chosen) and not far, f"labels that nobody clicked: {far}"

    window.key("ctrl+z")
    assert len(labels(o.program, folder)[1]) == len(chosen) - 1, "ctrl+Z takes the last one back"
    window.key("ctrl+shift+z")
    assert len(labels(o.program, folder)[1]) == len(chosen), "ctrl+shift+Z repeats it"

    window.key("t")
    time.sleep(12)
    window.picture("3-training")
    window.key("t")
    time.sleep(2)
    window.picture("4-paused")
    window.key("t")
    # The checkpoint of the run is written every two minutes, or when it ends.
    run = project / "training.run"
    window.wait(run.exists, "the run is kept", 240)
    window.picture("5-later")
    window.process.send_signal(signal.SIGKILL)
    window.process.wait()
    assert len(labels(o.program, folder)[1]) == len(chosen), "SIGKILL during training loses no label"

    window = Window(o.program, [str(project)], folder)
    window.picture("6-opened-again")
    assert window.process.poll() is None
    window.key("ctrl+q")
    end = time.time() + 20
    while window.process.poll() is None and time.time() < end:
        time.sleep(0.2)
    assert window.process.poll() == 0, "ctrl+Q ends the program"
    print(json.dumps({"labels": len(chosen), "checkpoint_bytes": run.stat().st_size}))
    print("the window was worked by pointer and keys: all checks passed")


if __name__ == "__main__":
    main()
