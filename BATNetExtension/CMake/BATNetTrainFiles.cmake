# Made by list_files.py; a test compares it with the tree.

set(BATNetTrain_SCRIPTS
  BATNetTrain.py
  BATNetTrainModule/__init__.py
  BATNetTrainModule/calls.py
  BATNetTrainModule/curvedata.py
  BATNetTrainModule/curvenodes.py
  BATNetTrainModule/curves_card.py
  BATNetTrainModule/data_card.py
  BATNetTrainModule/estimates.py
  BATNetTrainModule/examplenodes.py
  BATNetTrainModule/examples_card.py
  BATNetTrainModule/findings.py
  BATNetTrainModule/form.py
  BATNetTrainModule/heights.py
  BATNetTrainModule/lastwords.py
  BATNetTrainModule/needs_card.py
  BATNetTrainModule/panel.py
  BATNetTrainModule/phantoms.py
  BATNetTrainModule/result_card.py
  BATNetTrainModule/run_card.py
  BATNetTrainModule/run_list.py
  BATNetTrainModule/runlog.py
  BATNetTrainModule/runwatch.py
  BATNetTrainModule/selftest.py
  BATNetTrainModule/split_card.py
  BATNetTrainModule/train_card.py
  BATNetTrainModule/words.py
  )

set(BATNetTrain_RESOURCES
  Resources/Icons/BATNetTrain.png
  Resources/UI/BATNetTrain.ui
  )
