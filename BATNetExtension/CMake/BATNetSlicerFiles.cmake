# Made by list_files.py; a test compares it with the tree.

set(BATNetSlicer_SCRIPTS
  BATNetSlicer/__init__.py
  BATNetSlicer/analysis.py
  BATNetSlicer/boxmodels.py
  BATNetSlicer/colournodes.py
  BATNetSlicer/edits.py
  BATNetSlicer/fatmap.py
  BATNetSlicer/geometry.py
  BATNetSlicer/inputs.py
  BATNetSlicer/job_contract.py
  BATNetSlicer/job_words.py
  BATNetSlicer/jobs.py
  BATNetSlicer/layers.py
  BATNetSlicer/legend.py
  BATNetSlicer/masks.py
  BATNetSlicer/nrrdfile.py
  BATNetSlicer/overlays.py
  BATNetSlicer/packages.py
  BATNetSlicer/patchboxes.py
  BATNetSlicer/picking.py
  BATNetSlicer/processes.py
  BATNetSlicer/resultfiles.py
  BATNetSlicer/resultmask.py
  BATNetSlicer/resultnodes.py
  BATNetSlicer/samples.py
  BATNetSlicer/scene.py
  BATNetSlicer/sceneobservers.py
  BATNetSlicer/slicejump.py
  BATNetSlicer/texts.py
  )

set(BATNetSlicer_RESOURCES
  BATNetSlicer/Icons/BATNetChest.png
  BATNetSlicer/Icons/BATNetPhantom.png
  BATNetSlicer/requirements.txt
  )
