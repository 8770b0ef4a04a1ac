"""A stand-in for Slicer: starts an engine through QProcess, says its number, and waits to be killed."""

import sys

from PySide6.QtCore import QCoreApplication, QProcess

application = QCoreApplication([])
process = QProcess()
process.started.connect(lambda: print(process.processId(), flush=True))
process.start(sys.executable, [sys.argv[1], "slow"])
application.exec()
