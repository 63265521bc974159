"""hptune: tune Keras models from one YAML file.

Importing this package is cheap: TensorFlow, Keras and scikit-learn are imported only by the rooms that train.
"""

from __future__ import annotations

__version__ = "0.1.0"
