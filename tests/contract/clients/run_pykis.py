"""pykis 0.7.0 as its users run it, against another address: ``run_pykis.py SYMBOL...``. It has no WebSocket.

How its address is changed: by its own setting, ``DomainInfo(url=...)``, to ``$BROKER_REST``.

Its package has the name of python-kis's, so it cannot be installed beside that one: who starts this script puts the
folder that holds pykis first in PYTHONPATH.

Logs in and prints a JSON line for each symbol: its price, its limits, and its newest daily bar.
"""

import json
import os
import sys

import pykis


def main() -> None:
    keys = {"appkey": os.environ["BROKER_APPKEY"], "appsecret": os.environ["BROKER_APPSECRET"]}
    api = pykis.Api(keys, pykis.DomainInfo(url=os.environ["BROKER_REST"]))
    for symbol in sys.argv[1:]:
        bars = api.get_kr_ohlcv(symbol)
        newest = bars.index.max()
        found = {
            "version": pykis.__version__,
            "symbol": symbol,
            "price": api.get_kr_current_price(symbol),
            "high_limit": api.get_kr_max_price(symbol),
            "low_limit": api.get_kr_min_price(symbol),
            "date": f"{newest:%Y%m%d}",
        }
        bar = {name.lower(): int(value) for name, value in bars.loc[newest].items()}
        print(json.dumps({"price": {name: str(value) for name, value in (found | bar).items()}}), flush=True)


if __name__ == "__main__":
    main()
