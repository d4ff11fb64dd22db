"""hosu (호수, "lake"): the Korean stock market, from the broker's wire to an ACID lake."""

__version__ = "0.1.0"
