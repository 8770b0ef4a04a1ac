# Made by list_files.py; a test compares it with the tree.

set(BATNetAnnotate_SCRIPTS
  BATNetAnnotate.py
  BATNetAnnotateModule/__init__.py
  BATNetAnnotateModule/agreement_card.py
  BATNetAnnotateModule/arrays.py
  BATNetAnnotateModule/caseflow.py
  BATNetAnnotateModule/casenodes.py
  BATNetAnnotateModule/disputes.py
  BATNetAnnotateModule/mirror_card.py
  BATNetAnnotateModule/mirrorview.py
  BATNetAnnotateModule/opening.py
  BATNetAnnotateModule/paint_card.py
  BATNetAnnotateModule/panel.py
  BATNetAnnotateModule/proposing.py
  BATNetAnnotateModule/rawfiles.py
  BATNetAnnotateModule/reading.py
  BATNetAnnotateModule/rescue.py
  BATNetAnnotateModule/saver.py
  BATNetAnnotateModule/scenecases.py
  BATNetAnnotateModule/scores_card.py
  BATNetAnnotateModule/selftest.py
  BATNetAnnotateModule/session.py
  BATNetAnnotateModule/settings.py
  BATNetAnnotateModule/shortcuts.py
  BATNetAnnotateModule/worklist_card.py
  )

set(BATNetAnnotate_RESOURCES
  Resources/Icons/BATNetAnnotate.png
  Resources/UI/BATNetAnnotate.ui
  )
