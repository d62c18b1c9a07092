"""What a model sees: descriptors of a pixel's series, memory of the weather, samples."""

from tssmnet.features.build import FEATURE_SETS, build_features
from tssmnet.features.descriptors import temporal_descriptors
from tssmnet.features.samples import Features, Samples, as_samples

__all__ = ["FEATURE_SETS", "Features", "Samples", "as_samples", "build_features", "temporal_descriptors"]
