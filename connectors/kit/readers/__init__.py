"""The readers every partner may use, by the name a manifest gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from connectors.kit.port import Reader
from connectors.kit.readers.csv_table import CsvReader
from connectors.kit.readers.exchange import ExchangeReader
from connectors.kit.readers.json_document import JsonReader
from connectors.kit.readers.spreadsheet import SpreadsheetReader
from connectors.kit.readers.xlsx import XlsxReader
from connectors.kit.readers.xml_stream import XmlReader

ReaderFactory = Callable[[Mapping[str, Any]], Reader]
"""Builds a reader from a manifest's ``options``; raises ``MaillonError(CONFIGURATION)`` for options it has not."""

BUILT_IN: Final[Mapping[str, ReaderFactory]] = MappingProxyType(
    {
        "json": JsonReader,
        "exchange": ExchangeReader,
        "xml": XmlReader,
        "csv": CsvReader,
        "xlsx": XlsxReader,
        "table": SpreadsheetReader,
    }
)
