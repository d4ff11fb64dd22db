"""mojito2 0.1.6 as its users run it, against another address: ``run_mojito2.py SYMBOL...``.

How its address is changed, REST: ``base_url``, which it sets from literals in ``KoreaInvestment.set_base_url``; that
method is replaced, as the constructor logs in at once. The WebSocket class keeps its REST address in the attribute
``base_url``, which is set. WebSocket: a literal inside ``KoreaInvestmentWS.ws_client``; ``websockets.connect``, which
it calls with that literal, is wrapped to connect to ``$BROKER_WS`` instead. This happens at import, so that the
process it starts for receiving does the same under every start method.

Logs in, registers the trades of every symbol, reads until the receiving process has ended (it ends when the broker
closes), then fetches every symbol's price. Prints a JSON line for each trade and each price.
"""

import json
import os
import queue
import sys
from collections.abc import Iterator

import mojito
import mojito.koreainvestment
import websockets

_connect = websockets.connect


def connect_to_broker(uri: str, **options: object) -> object:
    if uri != "ws://ops.koreainvestment.com:21000":
        sys.exit(f"mojito2 connects to {uri}, which this wrapper does not know")
    return _connect(os.environ["BROKER_WS"], **options)


def set_base_url(self: mojito.KoreaInvestment, mock: bool = True) -> None:
    self.base_url = os.environ["BROKER_REST"]


mojito.koreainvestment.websockets.connect = connect_to_broker
mojito.KoreaInvestment.set_base_url = set_base_url


def main() -> None:
    symbols = sys.argv[1:]
    keys = os.environ["BROKER_APPKEY"], os.environ["BROKER_APPSECRET"]
    client = mojito.KoreaInvestment(*keys, acc_no="12345678-01")
    receiver = mojito.KoreaInvestmentWS(*keys, ["H0STCNT0"], symbols)
    receiver.base_url = os.environ["BROKER_REST"]
    receiver.start()
    for kind, found in received(receiver):
        if kind == "체결":
            emit("trade", found)
    receiver.join()
    for symbol in symbols:
        emit("price", {"symbol": symbol} | client.fetch_price(symbol)["output"])


def received(receiver: mojito.KoreaInvestmentWS) -> Iterator[tuple[str, dict[str, str]]]:
    """What the process has put into its queue; it puts everything there before it ends."""
    while True:
        ended = not receiver.is_alive()
        try:
            yield receiver.queue.get(timeout=0.1)
        except queue.Empty:
            if ended:
                return


def emit(what: str, found: dict[str, str]) -> None:
    print(json.dumps({what: found}), flush=True)


if __name__ == "__main__":
    main()
