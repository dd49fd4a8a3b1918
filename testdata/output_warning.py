import warnings

warnings.warn("old way", DeprecationWarning)
warnings.warn("careful")
print("after")
