"""The simulated exchange: a market and an HTTP server that speaks Binance REST."""
