"""The window, without a screen: SDL's dummy driver takes the pictures and the keys."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from humanrt.errors import MissingDependencyError, OutputError
from humanrt.outputs.window import Window, fit, has_display


@pytest.fixture
def pygame(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setenv("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    return pytest.importorskip("pygame", reason="the window needs the extra `view`")


def picture() -> np.ndarray:
    image = np.zeros((120, 160, 3), np.uint8)
    image[..., 0] = 250
    return image


def test_shows_rgb_pictures(pygame: Any) -> None:
    with Window("title") as window:
        assert window.show(picture())
        screen = pygame.display.get_surface()
        assert screen.get_size() == (160, 120)
        assert screen.get_at((80, 60))[:3] == (250, 0, 0)
        assert window.show(picture()[:, ::-1])  # an array that is not contiguous
    assert not window.open
    assert pygame.display.get_surface() is None


def test_keeps_proportions(pygame: Any) -> None:
    with Window() as window:
        window.show(picture())
        window.show(np.full((120, 40, 3), 250, np.uint8))
        screen = pygame.display.get_surface()
        assert screen.get_at((10, 60))[:3] == (0, 0, 0)
        assert screen.get_at((80, 60))[:3] == (250, 250, 250)


@pytest.mark.parametrize("how", ["q", "escape", "button"])
def test_stops(pygame: Any, how: str) -> None:
    with Window() as window:
        assert window.show(picture())
        keys = {"q": pygame.K_q, "escape": pygame.K_ESCAPE}
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_a))
        assert window.show(picture())
        if how == "button":
            pygame.event.post(pygame.event.Event(pygame.QUIT))
        else:
            pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=keys[how]))
        assert not window.show(picture())
        assert not window.open
        assert not window.show(picture())


@pytest.mark.parametrize(
    ("size", "room", "expected"),
    [
        ((100, 50), (100, 50), (0, 0, 100, 50)),
        ((100, 50), (200, 200), (0, 50, 200, 100)),
        ((100, 50), (50, 50), (0, 12, 50, 25)),
        ((1000, 1), (10, 10), (0, 4, 10, 1)),
    ],
)
def test_fit(size: tuple[int, int], room: tuple[int, int], expected: tuple[int, ...]) -> None:
    assert fit(size, room) == expected


def test_missing_pygame_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'humanrt\[view\]'"):
        Window()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a display")
def test_no_display(pygame: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SDL_VIDEODRIVER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not has_display()
    with pytest.raises(OutputError, match="use --headless"):
        Window()
    monkeypatch.setenv("DISPLAY", ":99")
    assert has_display()


def test_display_that_cannot_be_opened(pygame: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pygame.display.quit()
    monkeypatch.setenv("SDL_VIDEODRIVER", "nonsense")
    monkeypatch.setenv("DISPLAY", ":99")
    with pytest.raises(OutputError, match=r"no window can be opened \(.*\); use --headless"):
        Window()
