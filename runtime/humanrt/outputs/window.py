"""The live window. pygame-ce, from the extra `view`, is imported only when a window opens."""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import Any

import numpy as np

from humanrt.errors import MissingDependencyError, OutputError
from humanrt.outputs.base import Image, Output
from humanrt.perception.pipeline import Result
from humanrt.resource import Resource

__all__ = ["Window", "has_display"]


def has_display() -> bool:
    """Return whether this process can open a window, judging by its environment."""
    if os.environ.get("SDL_VIDEODRIVER") == "dummy":
        return True
    platform: str = sys.platform
    if platform == "linux":
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return not (platform == "darwin" and "SSH_CONNECTION" in os.environ)


class Window(Resource, Output):
    """Shows pictures until the user closes it by its button, `q` or Esc. Use it inside `with`.

    Pictures keep their aspect ratio in a window of any size.

    Raises:
        MissingDependencyError: pygame-ce is not installed.
        OutputError: there is no display.
    """

    def __init__(self, title: str = "humanrt") -> None:
        self._pygame = _import_pygame()
        self._title = title
        self._screen: Any = None
        self.open = True
        if not has_display():
            raise OutputError("no display for a window; use --headless, with --video FILE.mp4 to see the result")
        try:
            self._pygame.display.init()
        except self._pygame.error as error:
            raise _no_window(error) from None

    def put(self, result: Result, picture: Image | None) -> bool:
        """Show the picture of a result, or the frame itself if nothing was drawn."""
        return self.show(result.frame.image if picture is None else picture)

    def show(self, image: Image) -> bool:
        """Show a picture, RGB uint8 [H, W, 3]. Returns False once the user has closed the window."""
        pygame = self._pygame
        if not self.open:
            return False
        height, width = image.shape[:2]
        if self._screen is None:
            self._screen = self._create(width, height)
        for event in pygame.event.get():
            escape = event.type == pygame.KEYDOWN and event.key in (pygame.K_q, pygame.K_ESCAPE)
            if event.type == pygame.QUIT or escape:
                self.close()
                return False
        picture = pygame.image.frombuffer(np.ascontiguousarray(image), (width, height), "RGB")
        screen = self._screen
        x, y, w, h = fit((width, height), screen.get_size())
        if (w, h) != (width, height):
            picture = pygame.transform.smoothscale(picture, (w, h))
        screen.fill((0, 0, 0))
        screen.blit(picture, (x, y))
        pygame.display.flip()
        return True

    def _create(self, width: int, height: int) -> Any:
        pygame = self._pygame
        try:
            desktop = pygame.display.get_desktop_sizes()[0]
            room = (int(desktop[0] * 0.9), int(desktop[1] * 0.85))
            _, _, w, h = fit((width, height), room) if width > room[0] or height > room[1] else (0, 0, width, height)
            screen = pygame.display.set_mode((w, h), pygame.RESIZABLE)
        except pygame.error as error:
            raise _no_window(error) from None
        pygame.display.set_caption(self._title)
        return screen

    def close(self) -> None:
        """Close the window. May be called twice."""
        if self.open:
            self.open = False
            self._screen = None
            self._pygame.display.quit()


def fit(size: tuple[int, int], room: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return x, y, width, height (px) of a picture of ``size``, scaled to fit and centred in ``room`` (both px)."""
    scale = min(room[0] / size[0], room[1] / size[1])
    width, height = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    return (room[0] - width) // 2, (room[1] - height) // 2, width, height


def _import_pygame() -> ModuleType:
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        import pygame
    except ImportError:
        raise MissingDependencyError(
            "a live window needs pygame-ce: `pip install 'humanrt[view]'`, or use --headless"
        ) from None
    module: ModuleType = pygame
    return module


def _no_window(error: Exception) -> OutputError:
    return OutputError(f"no window can be opened ({error}); use --headless, with --video FILE.mp4 to see the result")
