"""MarketFrame -> FeatureFrame: strictly causal node features, and the scaler fitted on training."""
