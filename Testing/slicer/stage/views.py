"""Views of slicer-core that draw the scene off the screen, with the displayable managers of Slicer.

``cannot_draw()`` says why this machine cannot draw (None where it can); it tries in a child process,
because a missing OpenGL ends the process that tries. Debian needs libegl1, libgl1 and libgl1-mesa-dri (or
libosmesa6).
"""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from . import DEBIAN, mrml_scene

SLICE_MANAGERS = (
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLColorLegendDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
)
THREE_D_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLColorLegendDisplayableManager",
    "vtkMRMLThreeDReformatDisplayableManager",
)
PROBE = """
import vtk
window = vtk.vtkRenderWindow()
window.SetOffScreenRendering(1)
window.SetSize(8, 8)
renderer = vtk.vtkRenderer()
renderer.SetBackground(1, 0, 0)
window.AddRenderer(renderer)
window.Render()
grabber = vtk.vtkWindowToImageFilter()
grabber.SetInput(window)
grabber.Update()
assert grabber.GetOutput().GetScalarComponentAsDouble(4, 4, 0, 0) == 255
"""


@functools.cache
def cannot_draw() -> str | None:
    """Why nothing can be drawn off screen here; None where it works."""
    probe = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=120)
    if probe.returncode == 0:
        return None
    return f"no off-screen OpenGL on this machine (Debian: apt-get install {DEBIAN})"


class View:
    """A render window with the displayable managers of one MRML view node; built when first used."""

    size = (400, 400)

    def __init__(self, node) -> None:
        self._node = node
        self._window = None

    def _factory(self):
        raise NotImplementedError

    def _managers(self):
        raise NotImplementedError

    def _before_managers(self) -> None:
        """Props that must be drawn first."""

    def _after_managers(self) -> None:
        """What a user's mouse does."""

    def _build(self) -> None:
        if self._window is not None:
            return
        self._renderer = vtk.vtkRenderer()
        self._window = vtk.vtkRenderWindow()
        self._window.SetOffScreenRendering(1)
        self._window.SetMultiSamples(0)
        self._window.SetSize(*self.size)
        self._window.AddRenderer(self._renderer)
        self._interactor = vtk.vtkGenericRenderWindowInteractor()
        self._interactor.SetRenderWindow(self._window)
        self._before_managers()
        factory = self._factory()
        factory.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        for name in self._managers():
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        self._group = factory.InstantiateDisplayableManagers(self._renderer)
        self._group.SetMRMLDisplayableNode(self._node)
        self._interactor.Initialize()
        self._after_managers()

    @property
    def built(self) -> bool:
        return self._window is not None

    # --- as in Slicer
    def renderWindow(self):
        self._build()
        return self._window

    def renderer(self):
        self._build()
        return self._renderer

    def interactor(self):
        self._build()
        return self._interactor

    interactorStyle = interactor

    def displayableManagerByClassName(self, name):
        self._build()
        return self._group.GetDisplayableManagerByClassName(name)

    def getDisplayableManagers(self, *_):
        self._build()
        return [
            self._group.GetNthDisplayableManager(i) for i in range(self._group.GetDisplayableManagerCount())
        ]

    def scheduleRender(self) -> None:
        """Slicer draws later; here a view draws when its pixels are asked for."""

    def forceRender(self) -> None:
        self._build()
        self._node.Modified()  # managers take in what a scene brought when their view next changes
        with mrml_scene.quiet():  # without an X server VTK says so and goes on to EGL
            self._window.Render()

    # --- for tests
    def resize(self, width: int, height: int) -> None:
        self._build()
        self._window.SetSize(width, height)

    def pixels(self) -> np.ndarray:
        """The view as drawn now: uint8 [height, width, 3], first row at the top."""
        self.forceRender()
        grabber = vtk.vtkWindowToImageFilter()
        grabber.SetInput(self._window)
        grabber.ReadFrontBufferOff()
        grabber.Update()
        image = grabber.GetOutput()
        width, height, _ = image.GetDimensions()
        return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)[::-1, :, :3].copy()

    def save(self, path) -> Path:
        """The view as a PNG file."""
        save_png(self.pixels(), path)
        return Path(path)

    def click(self, x: int, y: int) -> None:
        """A left click at ``x`` from the left and ``y`` from the bottom, in pixels."""
        interactor = self.interactor()
        interactor.SetEventInformation(x, y, 0, 0, chr(0), 0, None)
        for event in (vtk.vtkCommand.MouseMoveEvent, vtk.vtkCommand.LeftButtonPressEvent):
            interactor.InvokeEvent(event)
        interactor.InvokeEvent(vtk.vtkCommand.LeftButtonReleaseEvent)


class SliceView(View):
    """A slice view. The image is drawn first, then what the displayable managers add."""

    def __init__(self, logic) -> None:
        super().__init__(logic.GetSliceNode())
        self._logic = logic

    def _factory(self):
        return slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()

    def _managers(self):
        return SLICE_MANAGERS

    def _before_managers(self) -> None:
        mapper = vtk.vtkImageMapper()
        mapper.SetColorWindow(255)
        mapper.SetColorLevel(127.5)
        mapper.SetInputConnection(self._logic.GetImageDataConnection())
        self._image = vtk.vtkActor2D()
        self._image.SetMapper(mapper)
        self._image.GetProperty().SetDisplayLocationToBackground()
        self._renderer.AddViewProp(self._image)
        self._logic.ResizeSliceNode(*self.size)

    def _after_managers(self) -> None:
        # Slicer's own style passes the mouse to the displayable managers; VTK's would turn a camera.
        self._interactor.SetInteractorStyle(vtk.vtkInteractorStyleUser())
        self._style = slicer.vtkMRMLSliceViewInteractorStyle()
        self._style.SetSliceLogic(self._logic)
        self._style.SetDisplayableManagers(self._group)
        self._style.SetInteractor(self._interactor)

    def resize(self, width: int, height: int) -> None:
        super().resize(width, height)
        self._logic.ResizeSliceNode(width, height)

    def forceRender(self) -> None:
        self._build()
        connection = self._logic.GetImageDataConnection()
        self._image.SetVisibility(connection is not None)
        if connection is not None:
            self._image.GetMapper().SetInputConnection(connection)
        super().forceRender()

    def to_view(self, ras) -> tuple[int, int]:
        """Where the patient position ``ras`` (mm) lies in this view, in pixels from the lower left."""
        matrix = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(self._node.GetXYToRAS(), matrix)
        x, y, *_ = matrix.MultiplyPoint((*ras, 1.0))
        return round(x), round(y)


class ThreeDView(View):
    """The 3D view; the camera looks at everything once, and again after ``resetFocalPoint``."""

    def _factory(self):
        return slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance()

    def _managers(self):
        return THREE_D_MANAGERS

    def _before_managers(self) -> None:
        self._renderer.SetBackground(0.76, 0.76, 0.91)

    def resetFocalPoint(self) -> None:
        # Managers take in what changed when they draw: looked at before, the camera would step back to see
        # the box of a former scene.
        self.forceRender()
        self._renderer.ResetCamera()

    resetCamera = resetFocalPoint


def save_png(pixels: np.ndarray, path) -> None:
    """Write uint8 [height, width, 3] as PNG."""
    from PIL import Image

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
