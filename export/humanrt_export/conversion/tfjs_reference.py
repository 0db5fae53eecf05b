"""TF.js itself, in node, as the reference for graphs converted from it."""

from __future__ import annotations

import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from humanrt.bundle import cache_folder
from humanrt.errors import SourceError

__all__ = ["TfjsReference", "run_tool"]

Array = NDArray[Any]

_SCRIPT = r"""
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import * as wasm from '@tensorflow/tfjs-backend-wasm';
import {loadGraphModel} from '@tensorflow/tfjs-converter';
import fs from 'fs';
import path from 'path';

const [file, images, count, height, width, out, ...nodes] = process.argv.slice(2);
wasm.setWasmPaths(path.resolve('node_modules/@tensorflow/tfjs-backend-wasm/dist') + '/');
await tf.setBackend('wasm');
await tf.ready();
const content = JSON.parse(fs.readFileSync(file));
const group = content.weightsManifest;
const weights = Buffer.concat(group.flatMap(g => g.paths).map(p => fs.readFileSync(path.join(path.dirname(file), p))));
const model = await loadGraphModel({load: async () => ({
  modelTopology: content.modelTopology,
  weightSpecs: group.flatMap(g => g.weights),
  weightData: weights.buffer.slice(weights.byteOffset, weights.byteOffset + weights.byteLength),
  format: content.format,
  signature: content.signature,
})});
const pixels = fs.readFileSync(images);
const size = height * width * 3;
const sink = fs.openSync(out, 'w');
for (let k = 0; k < count; k++) {
  const values = new Int32Array(pixels.subarray(k * size, (k + 1) * size));
  const image = tf.tensor4d(values, [1, +height, +width, 3], 'int32');
  for (const tensor of model.execute(image, nodes)) {
    const header = Int32Array.from([tensor.shape.length, ...tensor.shape]);
    fs.writeSync(sink, Buffer.from(header.buffer));
    const data = await tensor.data();
    fs.writeSync(sink, Buffer.from(data.buffer, data.byteOffset, data.byteLength));
    tensor.dispose();
  }
  image.dispose();
}
"""


class TfjsReference:
    """Runs a TF.js graph model of an npm package in node; TF.js is installed once, into humanrt's cache.

    Args:
        package: file of the package.
        model: path in it of the graph's JSON file; the weights lie beside it.

    Raises:
        SourceError: node or npm are missing, or TF.js cannot be installed.
    """

    VERSION: ClassVar[str] = "4.22.0"
    BACKEND: ClassVar[str] = "wasm"

    def __init__(self, package: Path, model: str) -> None:
        self._package, self._model = package, model
        self._folder = cache_folder() / "downloads" / f"tfjs-{self.VERSION}"
        if not (self._folder / "node_modules" / "@tensorflow" / "tfjs-backend-wasm").is_dir():
            self._folder.mkdir(parents=True, exist_ok=True)
            names = ("core", "converter", "backend-cpu", "backend-wasm")
            packages = [f"@tensorflow/tfjs-{name}@{self.VERSION}" for name in names]
            run_tool(
                ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(self._folder), *packages]
            )

    def tensors(self, pixels: Sequence[Array], nodes: Mapping[str, str]) -> list[dict[str, Array]]:
        """Return tensors of the graph for images.

        Args:
            pixels: uint8 [1, 3, H, W] each.
            nodes: names of the results, and of the nodes that compute them, which are NHWC.

        Returns:
            For each image, float32 [1, C, H, W] by the names of the results.
        """
        _, _, height, width = pixels[0].shape
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            place = Path(folder)
            with tarfile.open(self._package) as archive:
                for member in (self._model, str(Path(self._model).with_suffix(".bin"))):
                    stream = archive.extractfile(member)
                    assert stream is not None
                    (place / Path(member).name).write_bytes(stream.read())
            (place / "images").write_bytes(b"".join(image.transpose(0, 2, 3, 1).tobytes() for image in pixels))
            script = place / "run.mjs"
            script.write_text(_SCRIPT, encoding="utf-8")
            arguments = [place / Path(self._model).name, place / "images", len(pixels), height, width, place / "out"]
            run_tool(["node", str(script), *map(str, arguments), *nodes.values()], self._folder)
            data = (place / "out").read_bytes()
        results, start = [], 0
        for _ in pixels:
            tensors = {}
            for name in nodes:
                rank = int(np.frombuffer(data, np.int32, 1, start)[0])
                shape = np.frombuffer(data, np.int32, rank, start + 4)
                start += 4 * (1 + rank)
                count = int(np.prod(shape))
                tensors[name] = np.frombuffer(data, np.float32, count, start).reshape(shape).transpose(0, 3, 1, 2)
                start += 4 * count
            results.append(tensors)
        return results


def run_tool(command: Sequence[str], folder: Path | None = None) -> None:
    """Run node or npm. SourceError if it is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    except OSError as error:
        raise SourceError(f"{command[0]} cannot be run ({error}); this needs node and npm: install them") from error
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["it gave no reason"]
        raise SourceError(f"{' '.join(command[:2])} failed: {lines[-1]}")
