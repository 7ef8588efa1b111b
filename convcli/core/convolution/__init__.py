"""Convolution and resampling of bare arrays, by the path that costs least."""
