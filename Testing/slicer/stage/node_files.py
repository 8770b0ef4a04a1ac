"""``slicer.app.coreIOManager()``: reads and writes nodes through the storage nodes of MRML."""

from __future__ import annotations

from pathlib import Path

import slicer

# File type -> (endings, class of node); the longest matching ending wins.
TYPES = {
    "SegmentationFile": ((".seg.nrrd", ".seg.nhdr"), "vtkMRMLSegmentationNode"),
    "VolumeFile": ((".nrrd", ".nhdr", ".nii.gz", ".nii", ".mha", ".mhd"), "vtkMRMLScalarVolumeNode"),
    "MarkupsFile": ((".mrk.json", ".fcsv"), "vtkMRMLMarkupsNode"),
    "ModelFile": ((".vtk", ".vtp", ".stl", ".ply", ".obj"), "vtkMRMLModelNode"),
    "TableFile": ((".csv", ".tsv"), "vtkMRMLTableNode"),
    "TransformFile": ((".h5", ".tfm"), "vtkMRMLTransformNode"),
    "ColorTableFile": ((".ctbl",), "vtkMRMLColorTableNode"),
    "TextFile": ((".txt", ".json", ".xml"), "vtkMRMLTextNode"),
    "SceneFile": ((".mrb", ".mrml"), ""),
}
MARKUPS = ("Fiducial", "ROI", "Line", "Plane", "Curve", "ClosedCurve", "Angle")


def ending(name) -> str:
    """The known ending of a file name, with its dot; empty where none is known."""
    name = str(name).lower()
    known = [e for endings, _ in TYPES.values() for e in endings if name.endswith(e)]
    return max(known, key=len, default="")


class IOManager:
    """Loads, saves and exports as ``slicer.util`` asks; every failure is False plus a message."""

    def fileType(self, filename) -> str:
        found = ending(filename)
        return next((kind for kind, (endings, _) in TYPES.items() if found in endings), "NoFile")

    def fileWriterFileType(self, node) -> str:
        for kind, (_, class_name) in TYPES.items():
            if class_name and node.IsA(class_name):
                return kind
        return "NoFile"

    def extractKnownExtension(self, filename, node=None) -> str:
        return ending(filename)

    def fileWriterExtensions(self, node) -> list[str]:
        return [f"File (*{e})" for e in TYPES[self.fileWriterFileType(node)][0]]

    def loadScene(self, filename, clear=True) -> bool:
        return self._load_scene(str(filename), clear)

    def loadNodes(self, filetype, properties, collection=None, messages=None) -> bool:
        path = str(properties["fileName"])
        try:
            if filetype == "SceneFile":
                return self._load_scene(path, properties.get("clear", False))
            nodes = getattr(self, f"_load_{filetype}", self._load_stored)(filetype, path, properties)
        except (OSError, RuntimeError) as error:
            if messages is not None:
                messages.AddMessage(
                    slicer.vtkCommand.ErrorEvent if hasattr(slicer, "vtkCommand") else 33, str(error)
                )
            return False
        for node in nodes:
            if collection is not None:
                collection.AddItem(node)
        return bool(nodes)

    def _name(self, path, properties) -> str:
        name = Path(path).name
        return properties.get("name") or name[: len(name) - len(ending(name))] or name

    def _load_VolumeFile(self, filetype, path, properties):
        logic = slicer.modules.volumes.logic()
        options = 0
        if properties.get("labelmap"):
            options += 1
        if properties.get("center"):
            options += 2
        if properties.get("singleFile"):
            options += 4
        if not Path(path).is_file():
            raise OSError(f"there is no file {Path(path).name}")
        node = logic.AddArchetypeVolume(path, self._name(path, properties), options)
        if node is None:
            raise RuntimeError(f"{Path(path).name} could not be read as a volume")
        if properties.get("show", True):
            selection = slicer.app.applicationLogic().GetSelectionNode()
            if properties.get("labelmap"):
                selection.SetReferenceActiveLabelVolumeID(node.GetID())
            else:
                selection.SetReferenceActiveVolumeID(node.GetID())
            slicer.app.applicationLogic().PropagateVolumeSelection()
        return [node]

    def _load_stored(self, filetype, path, properties):
        if not Path(path).is_file():
            raise OSError(f"there is no file {Path(path).name}")
        if filetype not in TYPES:
            raise OSError(f"there is no reader for {Path(path).name}")
        class_name = TYPES[filetype][1]
        if filetype == "MarkupsFile":
            return self._load_markups(path, properties)
        if filetype == "TransformFile":
            class_name = "vtkMRMLLinearTransformNode"
        node = slicer.mrmlScene.AddNewNodeByClass(class_name, self._name(path, properties))
        storage = node.CreateDefaultStorageNode()
        storage.UnRegister(None)
        storage.SetFileName(path)
        slicer.mrmlScene.AddNode(storage)
        node.SetAndObserveStorageNodeID(storage.GetID())
        if not storage.ReadData(node):
            slicer.mrmlScene.RemoveNode(storage)
            slicer.mrmlScene.RemoveNode(node)
            raise RuntimeError(f"{Path(path).name} could not be read")
        if hasattr(node, "CreateDefaultDisplayNodes"):
            node.CreateDefaultDisplayNodes()
        return [node]

    def _load_markups(self, path, properties):
        identifier = slicer.modules.markups.logic().LoadMarkups(path, self._name(path, properties))
        if not identifier:
            raise RuntimeError(f"{Path(path).name} could not be read as markups")
        return [slicer.mrmlScene.GetNodeByID(identifier.split(",")[0])]

    def _load_scene(self, path, clear) -> bool:
        scene = slicer.mrmlScene
        if not Path(path).is_file():
            return False
        if path.endswith(".mrb"):
            return bool(scene.ReadFromMRB(path, clear))
        scene.SetURL(path)
        return bool(scene.Connect() if clear else scene.Import())

    def saveNodes(self, filetype, properties, messages=None) -> bool:
        path = str(properties["fileName"])
        if filetype == "SceneFile":
            return self._save_scene(path)
        node = slicer.mrmlScene.GetNodeByID(properties["nodeID"])
        if node.GetStorageNode() is None and not node.AddDefaultStorageNode():
            return False
        storage = node.GetStorageNode()
        storage.SetFileName(path)
        storage.SetUseCompression(bool(properties.get("useCompression", True)))
        return bool(storage.WriteData(node))

    def exportNodes(self, nodeIDs, fileNames, properties, hardenTransforms=False, messages=None) -> bool:
        """Writes through a storage node of its own, so that the node keeps its own file."""
        done = []
        for identifier, name in zip(nodeIDs, fileNames, strict=True):
            node = slicer.mrmlScene.GetNodeByID(identifier)
            storage = node.CreateDefaultStorageNode()
            storage.UnRegister(None)
            storage.SetFileName(str(name))
            storage.SetUseCompression(bool(properties.get("useCompression", True)))
            done.append(bool(storage.WriteData(node)))
        return all(done)

    def _save_scene(self, path) -> bool:
        scene = slicer.mrmlScene
        scene.SetURL(path)
        if path.endswith(".mrb"):
            return bool(scene.WriteToMRB(path))
        scene.SetRootDirectory(str(Path(path).parent))
        return bool(scene.Commit(path))
