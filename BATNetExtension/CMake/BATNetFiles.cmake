# Made by list_files.py; a test compares it with the tree.

set(BATNet_SCRIPTS
  BATNet.py
  BATNetModule/__init__.py
  BATNetModule/batch_tab.py
  BATNetModule/batchcases.py
  BATNetModule/checks_card.py
  BATNetModule/estimate.py
  BATNetModule/modelchoice.py
  BATNetModule/panel.py
  BATNetModule/parameters.py
  BATNetModule/patches_card.py
  BATNetModule/process.py
  BATNetModule/report_card.py
  BATNetModule/reports.py
  BATNetModule/request.py
  BATNetModule/result_card.py
  BATNetModule/review.py
  BATNetModule/run.py
  BATNetModule/run_card.py
  BATNetModule/segexport.py
  BATNetModule/selftest.py
  BATNetModule/setup_card.py
  BATNetModule/timings.py
  )

set(BATNet_RESOURCES
  Resources/Icons/BATNet.png
  Resources/UI/BATNet.ui
  )
