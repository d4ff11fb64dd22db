"""python-kis 2.1.6 as its users run it, against another address: ``run_python_kis.py SYMBOL...``.

How its address is changed: it has no setting for one, only constants in ``pykis.__env__`` that ``pykis.kis`` and
``pykis.client.websocket`` import by name. So ``pykis.kis.REAL_DOMAIN`` is set to ``$BROKER_REST`` and
``pykis.client.websocket.WEBSOCKET_REAL_DOMAIN`` to ``$BROKER_WS`` before anything is called. Nothing else is touched;
it adds its path ``/tryitout`` to the latter itself.

Logs in, registers the trades of every symbol, listens until the broker closes, then fetches every symbol's price.
Prints a JSON line for each trade and each price, between the lines of the library's own log, on stdout too.
"""

import json
import os
import sys
import time
from decimal import Decimal

import pykis.client.websocket
import pykis.kis
from pykis import PyKis

pykis.kis.REAL_DOMAIN = os.environ["BROKER_REST"]
pykis.client.websocket.WEBSOCKET_REAL_DOMAIN = os.environ["BROKER_WS"]

PRICES = ("symbol", "price", "change", "open", "high", "low", "volume", "amount")
COUNTS = ("sell_count", "buy_count", "sell_quantity", "buy_quantity", "ask_quantity", "bid_quantity", "prev_volume")
TRADE = (*PRICES, "ask", "bid", *COUNTS)
QUOTE = (*PRICES, "high_limit", "low_limit")


def main() -> None:
    kis = PyKis(
        id="somebody",
        account="12345678-01",
        appkey=os.environ["BROKER_APPKEY"],
        secretkey=os.environ["BROKER_APPSECRET"],
        keep_token=False,
        use_websocket=True,
    )
    stocks = [kis.stock(symbol) for symbol in sys.argv[1:]]
    # What is registered between its connecting and its noting so is lost.
    kis.websocket.ensure_connected(timeout=60)
    if not kis.websocket.connected:
        sys.exit("python-kis did not connect")
    trades = []
    tickets = [stock.on("price", lambda _, event: trades.append(event.response)) for stock in stocks]
    while kis.websocket.connected:  # falls with the connection, after its last message has been handled
        time.sleep(0.02)
    kis.websocket.disconnect()
    for ticket in tickets:
        ticket.unsubscribe()
    for trade in trades:
        emit("trade", printed(trade, TRADE) | {"time": f"{trade.time_kst:%Y%m%d%H%M%S}", "raw": "^".join(trade.raw())})
    for stock in stocks:
        emit("price", printed(stock.quote(), QUOTE))


def printed(found: object, names: tuple[str, ...]) -> dict[str, str]:
    values = {name: getattr(found, name) for name in names}
    # It normalises Decimals, and 71600 would be printed as 7.16E+4.
    return {name: f"{value:f}" if isinstance(value, Decimal) else str(value) for name, value in values.items()}


def emit(what: str, found: dict[str, str]) -> None:
    print(json.dumps({what: found}), flush=True)


if __name__ == "__main__":
    main()
