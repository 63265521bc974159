"""Makes customers.csv, a small table with everything that real tables have: numbers, text, codes, gaps.

Usage: python make_customers.py [FILE]. The same seed gives the same bytes; a test compares them.
"""

from __future__ import annotations

import csv
import math
import random
import sys
from pathlib import Path

SEED = 20
ROWS = 800
COLUMNS = ("customer", "age", "income", "visits", "plan", "city", "region", "churned")
CITIES = ("Aalen", "Bern", "Como", "Delft", "Évora")
PLANS = ("basic", "plus", "premium")


def make_rows() -> list[list[str]]:
    """Draw the customers; who pays little, visits rarely and lives far away tends to leave."""
    generator = random.Random(SEED)
    rows = []
    for number in range(ROWS):
        age = generator.randint(18, 85)
        income = round(math.exp(generator.gauss(10.2, 0.5)), 2)
        visits = min(int(generator.expovariate(0.25)), 40)
        plan = generator.choice(PLANS)
        city = generator.choice(CITIES)
        # Looks like a number, is a code: neighbouring regions have nothing in common.
        region = generator.choice((101, 102, 205, 310))
        leaning = (
            0.9 * (plan == "basic")
            - 1.1 * (plan == "premium")
            - 0.18 * visits
            + 1.2 * (region in (102, 310))
            + 0.8 * (city == "Delft")
            + 0.03 * abs(age - 45)
            - 0.6 * (income > 32_000)
            - 1.0
        )
        churned = generator.random() < 1 / (1 + math.exp(-1.6 * leaning))
        gaps = [generator.random() < share for share in (0.06, 0.1, 0.04)]
        rows.append(
            [
                f"C{number:04d}",
                "" if gaps[0] else str(age),
                "?" if gaps[1] else f"{income:.2f}",
                str(visits),
                plan,
                "NA" if gaps[2] else city,
                str(region),
                "yes" if churned else "no",
            ]
        )
    return rows


def main() -> None:
    """Write the table."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("customers.csv")
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(make_rows())


if __name__ == "__main__":
    main()
