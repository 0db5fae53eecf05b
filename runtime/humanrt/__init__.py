"""humanrt: a camera in, human meshes and robot-hand motion out, live.

>>> from humanrt import HandTracker, Retargeter

Names are loaded on first use, so that ``import humanrt`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from humanrt.animation.convert import convert, ground_of
    from humanrt.bundle import Bundle, load_bundle
    from humanrt.coach.engine import PoseCoach
    from humanrt.embedding.embedder import PoseEmbedder
    from humanrt.errors import HumanrtError
    from humanrt.hands.pipeline import HandPipeline
    from humanrt.hands.pose_smoother import HandPoseSmoother
    from humanrt.hands.smoother import HandSmoother
    from humanrt.hands.tracker import Hand, Hands, HandTracker
    from humanrt.inference.execution import Execution
    from humanrt.live import Output, play
    from humanrt.motion.motion import Motion
    from humanrt.motion.posegpt import PoseGPT
    from humanrt.outputs.record import read_recording
    from humanrt.outputs.robot_commands import RobotCommands
    from humanrt.outputs.wire import receive
    from humanrt.people.landmark_people import LandmarkPeople
    from humanrt.people.multihmr import MultiHMR
    from humanrt.people.pipeline import PeoplePipeline
    from humanrt.people.results import People, Person
    from humanrt.people.smoother import OneEuroPeople
    from humanrt.people.tracking import PeopleTracker
    from humanrt.posebert.model import PoseBERT, PoseBERTResult
    from humanrt.posebert.stream import PoseBERTStream, PoseState
    from humanrt.posefix.editor import PoseEditor
    from humanrt.posefix.retrieval import PoseRetrieval
    from humanrt.retarget import Retargeter
    from humanrt.retarget.gentle import GentleMotion
    from humanrt.retarget.layouts import hands_from
    from humanrt.smoothing.one_euro import OneEuro
    from humanrt.sources.opening import Frame, open_source
    from humanrt.tasks import track

_HOMES = {
    "Bundle": "humanrt.bundle.manifest",
    "Execution": "humanrt.inference.execution",
    "Frame": "humanrt.sources.opening",
    "GentleMotion": "humanrt.retarget.gentle",
    "Hand": "humanrt.hands.tracker",
    "HandPipeline": "humanrt.hands.pipeline",
    "HandPoseSmoother": "humanrt.hands.pose_smoother",
    "HandSmoother": "humanrt.hands.smoother",
    "HandTracker": "humanrt.hands.tracker",
    "Hands": "humanrt.hands.tracker",
    "HumanrtError": "humanrt.errors",
    "LandmarkPeople": "humanrt.people.landmark_people",
    "Motion": "humanrt.motion.motion",
    "MultiHMR": "humanrt.people.multihmr",
    "OneEuro": "humanrt.smoothing.one_euro",
    "OneEuroPeople": "humanrt.people.smoother",
    "Output": "humanrt.live",
    "People": "humanrt.people.results",
    "PeoplePipeline": "humanrt.people.pipeline",
    "PeopleTracker": "humanrt.people.tracking",
    "Person": "humanrt.people.results",
    "PoseBERT": "humanrt.posebert.model",
    "PoseBERTResult": "humanrt.posebert.model",
    "PoseBERTStream": "humanrt.posebert.stream",
    "PoseCoach": "humanrt.coach.engine",
    "PoseEditor": "humanrt.posefix.editor",
    "PoseEmbedder": "humanrt.embedding.embedder",
    "PoseGPT": "humanrt.motion.posegpt",
    "PoseRetrieval": "humanrt.posefix.retrieval",
    "PoseState": "humanrt.posebert.stream",
    "Retargeter": "humanrt.retarget",
    "RobotCommands": "humanrt.outputs.robot_commands",
    "convert": "humanrt.animation.convert",
    "ground_of": "humanrt.animation.convert",
    "hands_from": "humanrt.retarget.layouts",
    "load_bundle": "humanrt.bundle.manifest",
    "open_source": "humanrt.sources.opening",
    "play": "humanrt.live",
    "read_recording": "humanrt.outputs.record",
    "receive": "humanrt.outputs.wire",
    "track": "humanrt.tasks",
}

__all__ = [
    "Bundle",
    "Execution",
    "Frame",
    "GentleMotion",
    "Hand",
    "HandPipeline",
    "HandPoseSmoother",
    "HandSmoother",
    "HandTracker",
    "Hands",
    "HumanrtError",
    "LandmarkPeople",
    "Motion",
    "MultiHMR",
    "OneEuro",
    "OneEuroPeople",
    "Output",
    "People",
    "PeoplePipeline",
    "PeopleTracker",
    "Person",
    "PoseBERT",
    "PoseBERTResult",
    "PoseBERTStream",
    "PoseCoach",
    "PoseEditor",
    "PoseEmbedder",
    "PoseGPT",
    "PoseRetrieval",
    "PoseState",
    "Retargeter",
    "RobotCommands",
    "__version__",
    "convert",
    "ground_of",
    "hands_from",
    "load_bundle",
    "open_source",
    "play",
    "read_recording",
    "receive",
    "track",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module `humanrt` has no attribute `{name}`")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
