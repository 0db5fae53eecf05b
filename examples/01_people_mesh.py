"""The people in a picture as a mesh file: python examples/01_people_mesh.py [PICTURE OR VIDEO] [OUT.glb]."""

import sys
from pathlib import Path

import humanrt
from humanrt.data import PEOPLE_CLIP
from humanrt.outputs.mesh_files import glb

source = sys.argv[1] if len(sys.argv) > 1 else PEOPLE_CLIP
out = Path(sys.argv[2] if len(sys.argv) > 2 else "people.glb")
model = humanrt.MultiHMR()  # the weights that ship; MultiHMR("./FOLDER") for yours
with humanrt.open_source(source) as frames:
    frame = next(iter(frames))
people = model(frame.image)
for score, head in zip(people.scores, people.translations, strict=True):
    print(f"score {score:.2f}, head at {head[0]:.2f}, {head[1]:.2f}, {head[2]:.2f} m (right, down, forward)")
out.write_bytes(glb(people, tuple(range(1, len(people) + 1)), model.faces))
print(f"{out}: {len(people)} people of {people.vertices.shape[1]} vertices; open it in Blender or trimesh")
