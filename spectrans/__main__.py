"""``python -m spectrans``: prints `spectrans.info` as a table."""

from __future__ import annotations

from typing import Any

import spectrans


def rows(facts: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """The leaves of nested facts, one dotted name and one value each."""
    result: list[tuple[str, str]] = []
    for name, value in facts.items():
        if isinstance(value, dict) and value:
            if all(isinstance(flag, bool) for flag in value.values()):  # a set of features: name those present
                result.append((prefix + name, " ".join(key for key, flag in value.items() if flag) or "none"))
            else:
                result.extend(rows(value, f"{prefix}{name}."))
        elif value is not None:
            text = " ".join(map(str, value)) if isinstance(value, (list, dict)) else str(value)
            result.append((prefix + name, text or "none"))
    return result


def main() -> None:
    """Prints one row a fact, with rich where it is installed."""
    table = rows(spectrans.info())
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        width = max(len(name) for name, _ in table)
        print("\n".join(f"{name:<{width}}  {value}" for name, value in table))
        return
    view = Table("fact", title="spectrans")
    view.add_column("value", overflow="fold")  # a path is of use only whole
    for name, value in table:
        view.add_row(name, Text(value))
    Console().print(view)


if __name__ == "__main__":
    main()
