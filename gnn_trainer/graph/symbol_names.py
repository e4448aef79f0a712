"""Which symbol of the market a prepared graph means by a name."""

import re
from collections.abc import Iterable, Sequence

_SEPARATORS = re.compile(r"[-_/\s]+")
_QUOTE = "USDT"


class SymbolNames:
    """Names of symbols: their own, with separators (`BTC/USDT:USDT`), their base coin (`BTC`),
    the address of a document (`pairs/BTCUSDT`), or whatever a node said it stands for."""

    def __init__(self, symbols: Sequence[str]) -> None:
        self._symbols = {symbol.upper(): symbol for symbol in symbols}
        for symbol in symbols:
            base = symbol.upper().removesuffix(_QUOTE)
            self._symbols.setdefault(base or symbol, symbol)
        self._nodes: dict[str, str | None] = {}

    def learn(self, keys: Iterable[str], label: str) -> str | None:
        """Take `keys` as names of what `label` means; returns that, None if it is no symbol."""
        symbol = self._known(label)
        for key in keys:
            self._nodes[key] = symbol
        return symbol

    def find(self, name: str) -> str | None:
        """The symbol meant by `name`; None if there is none in this market."""
        for form in (name, name.rpartition("/")[2]):
            if form in self._nodes:
                return self._nodes[form]
        return self._known(name)

    def _known(self, name: str) -> str | None:
        for form in (name, name.rpartition("/")[2]):
            plain = _SEPARATORS.sub("", form.partition(":")[0]).upper()
            if plain in self._symbols:
                return self._symbols[plain]
        return None
