"""Retargeting against dex-retargeting 0.5.0 and dexi-rs 0.4.1: same keypoints, same objective, one thread, one run.

    humanrt run hand.mp4 --task hands --record hand.jsonl --headless
    python bench/retarget_peers.py --keypoints hand.jsonl --install          first time: peers into their own venv
    python bench/retarget_peers.py --keypoints hand.jsonl [--json out.json]

How it is made fair:
- Every solver minimises the same function: the peers' own configuration (links, scale, Huber width, 4e-3 to the last
  solution), all joints free, low-pass filters off. Each follows its own last solution, as in real use.
- All are given the same vectors, in the wrist frame of ``humanrt.retarget.wrist_frame``. For the peers they are ready
  made; our time is that of the public ``Retargeter.solve``, wrist frame included.
- The solvers take turns, a chunk of frames each, in one run on one thread; times are per frame.
- Costs are those of one function, ours (the tests hold it to its definition written out), and fingertips by the peers'
  own kinematics are first checked against ours.
- ``humanrt, apart`` is the same with `RetargetOptions.collisions`, which the peers have not; its cost is the peers'
  function too, so that keeping fingers apart raises it. *deepest*: depth of the deepest pair of capsules
  (`humanrt.retarget.problem`), mm, and frames in which that is over 2 mm.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PEERS = ("dex-retargeting==0.5.0", "dexi-rs==0.4.1", "six")
TORCH, TORCH_INDEX = "torch==2.13.0", "https://download.pytorch.org/whl/cpu"
"""dex-retargeting imports torch and does not ask for it. Its builds for the CPU: PyPI's bring gigabytes of CUDA."""
CHUNK = 40
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "humanrt" / "bench-peers"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
HANDS = ("allegro_right", "leap_right", "shadow_right")
LIMIT_SLACK = 1e-6
"""What counts as a violation, rad: dex-retargeting answers in float32."""
DEEP = 0.002
"""m, from which on fingers penetrate each other."""


def worker() -> None:
    """Runs in the peers' environment: a request per line on stdin, an answer per line on stdout."""
    import numpy as np
    import torch

    torch.set_num_threads(1)
    import dexi_rs
    from dex_retargeting.retargeting_config import RetargetingConfig

    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the peers print must not be taken for an answer
    hands = Path(dexi_rs.__file__).parent / "resources" / "assets" / "robots" / "hands"
    RetargetingConfig.set_default_urdf_dir(str(hands))
    import dex_retargeting

    configs = Path(dex_retargeting.__file__).parent / "configs" / "teleop"
    solvers: dict[str, Any] = {}
    vectors: list[Any] = []
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any] = {}
        if request["do"] == "setup":
            name, side = request["robot"].rsplit("_", 1)
            suffix = "" if request["objective"] == "vector" else "_dexpilot"
            path = configs / f"{name}_hand_{side}{suffix}.yml"
            config = RetargetingConfig.load_from_file(str(path), override={"low_pass_alpha": -1.0})
            dex = config.build()
            settings = {
                key: getattr(config, key)
                for key in (
                    *("type", "urdf_path", "wrist_link_name", "target_origin_link_names", "target_task_link_names"),
                    *("finger_tip_link_names", "scaling_factor", "normal_delta", "project_dist", "escape_dist"),
                )
                if getattr(config, key) is not None
            }
            human = np.asarray(dex.optimizer.target_link_human_indices)
            if request["objective"] == "vector":
                settings["target_link_human_indices"] = human.tolist()
            # dex-retargeting's DexPilot keeps the 0.03 of its optimiser, whatever the configuration says.
            settings["huber_delta"] = 0.02 if request["objective"] == "vector" else 0.03
            settings["type"] = {"vector": "vector", "dexpilot": "dexpilot"}[request["objective"]]
            dexi = dexi_rs.RetargetingConfig(**settings, low_pass_alpha=1.0).build()
            solvers = {"dexi-rs": dexi, "dex-retargeting": dex}
            points = np.array(request["keypoints"])
            vectors = list(points[:, human[1]] - points[:, human[0]])
            q = np.array(request["probe"])
            order = [request["joints"].index(joint) for joint in dex.joint_names]
            dex.optimizer.robot.compute_forward_kinematics(q[order])
            links = request["links"]
            answer["tips"] = [
                dex.optimizer.robot.get_link_pose(dex.optimizer.robot.get_link_index(link))[:3, 3].tolist()
                for link in links
            ]
            answer["joints"] = {label: list(solver.joint_names) for label, solver in solvers.items()}
            answer["fixed"] = {"dexi-rs": dexi.fixed_dof}
        elif request["do"] == "reset":
            for solver in solvers.values():
                solver.reset()
        elif request["do"] == "run":
            solver = solvers[request["peer"]]
            chunk = vectors[request["start"] : request["stop"]]
            if request["peer"] == "dexi-rs":
                chunk = [v.ravel().tolist() for v in chunk]
            times, poses = [], []
            for value in chunk:
                begin = time.perf_counter()
                q = solver.retarget(value)
                times.append(time.perf_counter() - begin)
                # dex-retargeting's own last solution is what it says it minimised from; both return it.
                poses.append([float(v) for v in q])
            answer = {"times": times, "poses": poses}
        out.write(json.dumps(answer) + "\n")
        out.flush()


def read_keypoints(path: Path) -> Any:
    """[frames, 21, 3] out of a recording (--record) of one hand, or out of ``keypoints_3d`` of an .npz."""
    import numpy as np

    if path.suffix == ".npz":
        return np.load(path)["keypoints_3d"].astype(np.float64)
    frames = []
    for line in path.read_text(encoding="utf-8").splitlines():
        hands = json.loads(line).get("hands") or []
        right = [hand for hand in hands if hand["side"] == "right"]
        if right:
            frames.append(right[0]["keypoints_3d"])
    if not frames:
        sys.exit(f"{path}: no right hand in the recording")
    return np.array(frames, dtype=np.float64)


def install(python: Path) -> None:
    folder = python.parent.parent
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet"]
    print(f"installing {', '.join((TORCH, *PEERS))} into {folder}", flush=True)
    print("(about 300 MB; pip is silent for minutes)", flush=True)
    if subprocess.run([*pip, "--retries", "0", "--index-url", TORCH_INDEX, TORCH], check=False).returncode:
        print(f"{TORCH_INDEX} cannot be reached: taking PyPI's torch", flush=True)
        subprocess.run([*pip, TORCH], check=True)
    subprocess.run([*pip, *PEERS], check=True)


def compare(keypoints: Any, robot: str, objective: str, ask: Any) -> dict[str, Any]:
    import numpy as np

    from humanrt.retarget import Retargeter, RetargetOptions, wrist_frame
    from humanrt.retarget.capsules import nearest

    local = np.array([k @ wrist_frame(k) for k in keypoints])
    ours = Retargeter(robot, RetargetOptions.of_peers(objective), kernel="native")
    judge = Retargeter(robot, RetargetOptions.of_peers(objective), kernel="native")
    apart = Retargeter(robot, RetargetOptions.of_peers(objective), collisions=True, kernel="native")
    pairs = apart._problem
    places = (ours.hand.wrist, *(point for finger in ours.hand.fingers.values() for point in finger))

    def depth(q: Any) -> float:
        at = ours.hand.positions(q, places)
        both = zip(pairs.collision_points, pairs.collision_reach, strict=True)
        return max(float(reach) - nearest(*at[ends])[0] for ends, reach in both)

    names = list(ours.joint_names)
    low, high = ours.limits.T
    probe = np.random.default_rng(0).uniform(low, high)
    links = TIPS[robot.split("_")[0]]
    setup = ask(
        do="setup",
        robot=robot,
        objective=objective,
        keypoints=local.tolist(),
        probe=probe.tolist(),
        joints=names,
        links=links,
    )
    tips = ours.hand.positions(probe, [points[3] for points in ours.hand.fingers.values()])
    off = float(np.abs(tips - np.array(setup["tips"])).max())
    if off > 1e-6:
        sys.exit(f"{robot}: our fingertips are {off:.1e} m from the peers'")

    times: dict[str, list[float]] = {"humanrt": [], "humanrt, apart": [], "dexi-rs": [], "dex-retargeting": []}
    default = Retargeter(robot)
    default_times: list[float] = []
    poses: dict[str, list[Any]] = {name: [] for name in times}
    for timed in (False, True):  # a pass to warm up, then the one that counts
        ask(do="reset")
        for each in (ours, apart):
            each.reset((low + high) / 2.0)  # where the peers start
        for peer in times:
            times[peer], poses[peer] = [], []
        for start in range(0, len(keypoints) if timed else CHUNK, CHUNK):
            stop = min(start + CHUNK, len(keypoints))
            for name, solver in (("humanrt", ours), ("humanrt, apart", apart)):
                for frame in keypoints[start:stop]:
                    begin = time.perf_counter()
                    q = solver.solve(frame)
                    times[name].append(time.perf_counter() - begin)
                    poses[name].append(q)
            for frame in keypoints[start:stop]:
                begin = time.perf_counter()
                default.solve(frame)
                default_times.append(time.perf_counter() - begin)
            for peer in ("dexi-rs", "dex-retargeting"):
                answer = ask(do="run", peer=peer, start=start, stop=stop)
                times[peer] += answer["times"]
                order = [setup["joints"][peer].index(name) for name in names]
                poses[peer] += [np.array(q)[order] for q in answer["poses"]]

    result: dict[str, Any] = {"robot": robot, "objective": objective, "frames": len(keypoints), "solvers": {}}
    result["default_options_ms_mean"] = 1e3 * float(np.mean(default_times[CHUNK:]))
    result["default_options_ms_p50"] = 1e3 * float(np.median(default_times[CHUNK:]))
    for peer, qs in poses.items():
        judge.reset()
        ours.reset()
        costs, data, best, over = [], [], [], []
        for i, q in enumerate(qs):
            last = qs[i - 1] if i else (low + high) / 2.0
            inside = np.clip(last, low, high)
            data.append(judge.cost(q, local[i], local=True))
            costs.append(judge.cost(q, local[i], local=True, last=inside))
            over.append(float(np.maximum(low - q, q - high).max()))
            # What our solver makes of the very problem that this solver had in this frame.
            ours.warm_start(inside)
            best.append(ours.cost(ours.solve_local(local[i]), local[i], local=True, last=inside))
            judge.solve_local(local[i])  # moves DexPilot's hysteresis on
        ms = 1e3 * np.array(times[peer])
        depths = np.array([depth(q) for q in qs])
        result["solvers"][peer] = {
            "ms_mean": float(ms.mean()),
            "ms_p50": float(np.percentile(ms, 50)),
            "ms_p99": float(np.percentile(ms, 99)),
            "cost_mean": float(np.mean(costs)),
            "data_mean": float(np.mean(data)),
            "same_problem_ours": float(np.mean(best)),
            "limit_violation_max_rad": max(0.0, *over),
            "frames_violating": int((np.array(over) > LIMIT_SLACK).sum()),
            "deepest_mm": max(0.0, 1e3 * float(depths.max())),
            "frames_deep": int((depths > DEEP).sum()),
            "apart_from_ours_median_rad": float(
                np.median(np.abs(np.array(qs) - np.array(poses["humanrt"])).max(axis=1))
            ),
        }
    return result


TIPS = {
    "allegro": ["link_15.0_tip", "link_3.0_tip", "link_7.0_tip", "link_11.0_tip"],
    "leap": ["thumb_tip_head", "index_tip_head", "middle_tip_head", "ring_tip_head"],
    "shadow": ["thtip", "fftip", "mftip", "rftip", "lftip"],
}


def show(results: list[dict[str, Any]]) -> None:
    print(
        f"{'robot':14} {'objective':9} {'solver':15} {'mean ms':>8} {'p50':>7} {'p99':>7} {'x ours':>7} "
        f"{'cost':>9} {'vs ours':>8} {'same problem':>12} {'beyond limits':>14} {'deepest':>12}"
    )
    for result in results:
        ours = result["solvers"]["humanrt"]
        for name, s in result["solvers"].items():
            print(
                f"{result['robot']:14} {result['objective']:9} {name:15} {s['ms_mean']:8.4f} {s['ms_p50']:7.4f} "
                f"{s['ms_p99']:7.4f} {s['ms_mean'] / ours['ms_mean']:7.1f} {s['cost_mean']:9.6f} "
                f"{s['cost_mean'] / ours['cost_mean']:8.4f} {s['cost_mean'] / s['same_problem_ours']:12.4f} "
                f"{s['limit_violation_max_rad']:9.1e} {s['frames_violating']:4d} "
                f"{s['deepest_mm']:7.1f} {s['frames_deep']:4d}"
            )
    for result in results:
        if result["objective"] == results[0]["objective"]:
            print(
                f"{result['robot']:14} default options (pose, restarts): {result['default_options_ms_mean']:.4f} ms, "
                f"p50 {result['default_options_ms_p50']:.4f}"
            )
    print(
        "cost: mean objective, each solver following its own last solution; vs ours: its ratio; same problem: the "
        "solver's cost\nover what ours reaches from the solver's own last solution; beyond limits: rad, and frames "
        f"beyond by more than {LIMIT_SLACK:g}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keypoints", type=Path, help="recording (.jsonl) or .npz with keypoints_3d")
    parser.add_argument("--frames", type=int, help="only the first so many")
    parser.add_argument("--robot", nargs="+", default=HANDS)
    parser.add_argument("--objective", nargs="+", default=("vector", "dexpilot"), choices=("vector", "dexpilot"))
    parser.add_argument("--peers-python", type=Path, default=CACHE / "bin" / "python", help="of the peers' environment")
    parser.add_argument("--install", action="store_true", help="make that environment first")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker()
        return 0
    if options.keypoints is None:
        parser.error("--keypoints is needed")
    if options.install:
        install(options.peers_python)
    if not options.peers_python.exists():
        sys.exit(f"{options.peers_python} is missing: add --install")
    os.environ.update(ONE_THREAD)
    keypoints = read_keypoints(options.keypoints)[: options.frames]
    process = subprocess.Popen(
        [str(options.peers_python), __file__, "--worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **ONE_THREAD},
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def ask(**request: Any) -> dict[str, Any]:
        line = ""
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        if not line:
            process.wait()
            sys.exit("the peers' process ended, see its message above; --install makes its environment anew")
        answer: dict[str, Any] = json.loads(line)
        return answer

    results = [compare(keypoints, robot, objective, ask) for robot in options.robot for objective in options.objective]
    process.stdin.close()
    process.wait()
    show(results)
    if options.json:
        machine = {"machine": platform.machine(), "python": platform.python_version(), "peers": PEERS}
        options.json.write_text(json.dumps({**machine, "results": results}, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
