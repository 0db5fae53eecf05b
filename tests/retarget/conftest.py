import sys
from pathlib import Path

import pytest

from humanrt.retarget import native_problem

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(params=["native", "numpy"])
def kernel(request: pytest.FixtureRequest) -> str:
    if request.param == "native" and (problem := native_problem()):
        pytest.skip(problem)
    return str(request.param)
