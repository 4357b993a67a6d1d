"""What a registry on AWS costs in a month, estimated from its own numbers. Asks nobody for prices."""

from weighbridge.costs.estimate import Bill, Line, Use, estimate
from weighbridge.costs.prices import PRICES, Price, Prices

__all__ = ["PRICES", "Bill", "Line", "Price", "Prices", "Use", "estimate"]
