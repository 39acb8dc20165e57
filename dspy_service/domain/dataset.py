"""How a dataset feeds a signature: mapping, column checks and the sizes of the splits."""

from collections.abc import Mapping, Sequence

import pydantic_core
from pydantic import JsonValue

from dspy_service.domain.errors import InvalidRequestError, UnsupportedRequestError
from dspy_service.domain.field_problem import FieldProblem
from dspy_service.domain.result import SplitCounts
from dspy_service.domain.sources import SignatureFacts
from dspy_service.domain.spec import ColumnMapping, Row

_MAPPING = "column_mapping"
_MOST_BYTES_PER_CHARACTER = 4  # of UTF-8


def check_rows(rows: Sequence[Row], *, max_rows: int, max_row_keys: int, max_field_bytes: int) -> None:
    """Refuse too many rows, rows without a column or with too many, and values that are too large.

    Raises:
        InvalidRequestError: names each of the first few empty rows, else the first row or value that is too large.
    """
    if len(rows) > max_rows:
        raise InvalidRequestError.of("dataset", f"has {len(rows)} rows; at most {max_rows} are accepted")
    empty = [index for index, row in enumerate(rows) if not row]
    if empty:
        message = "is an empty object; every row needs the mapped columns"
        raise InvalidRequestError([FieldProblem(field=f"dataset.{index}", message=message) for index in empty[:10]])
    for index, row in enumerate(rows):
        if len(row) > max_row_keys:
            message = f"has {len(row)} columns; at most {max_row_keys} are accepted"
            raise InvalidRequestError.of(f"dataset.{index}", message)
        for column, value in row.items():
            if _is_larger(value, max_field_bytes):
                message = f"is larger than {max_field_bytes} bytes; send shorter values"
                raise InvalidRequestError.of(f"dataset.{index}.{column[:100]}", message)


def _is_larger(value: JsonValue, max_bytes: int) -> bool:
    if isinstance(value, str):
        return len(value) * _MOST_BYTES_PER_CHARACTER > max_bytes and len(value.encode()) > max_bytes
    if isinstance(value, list | dict):
        return len(pydantic_core.to_json(value)) > max_bytes
    return False


def resolve_mapping(asked: ColumnMapping | Mapping[str, str], signature: SignatureFacts) -> ColumnMapping:
    """Turn either form of ``column_mapping`` into the nested one, and check it against the signature.

    The flat form is ``{field: column}``; the signature tells which side a field is on.

    Raises:
        InvalidRequestError: no inputs at all, or a column that feeds two fields.
        UnsupportedRequestError: a field that the signature does not have, or one that is not mapped.
    """
    mapping = asked if isinstance(asked, ColumnMapping) else _sides(asked, signature)
    _check_columns_are_distinct(mapping)
    if not mapping.inputs:
        raise InvalidRequestError.of(f"{_MAPPING}.inputs", "is empty; map at least one input field to a column")
    for side, mapped, declared in (
        ("inputs", mapping.inputs, signature.inputs),
        ("outputs", mapping.outputs, signature.outputs),
    ):
        _check_side(side, mapped, declared, signature)
    return mapping


def check_columns(rows: Sequence[Row], mapping: ColumnMapping) -> None:
    """Check that every row has every mapped column.

    Raises:
        UnsupportedRequestError: names the column and the first row without it.
    """
    columns = frozenset(mapping.columns)
    for index, row in enumerate(rows):
        if columns <= row.keys():
            continue
        missing = next(column for column in mapping.columns if column not in row)
        known = ", ".join(repr(name) for name in list(row)[:20])
        message = f"{_MAPPING}: column {missing!r} is missing from dataset row {index}, which has: {known}"
        raise UnsupportedRequestError(message, field=f"dataset.{index}.{missing}")


def check_splits(counts: SplitCounts, *, needs_valset: bool, owner: str) -> None:
    """Refuse splits that leave nothing to learn from.

    Raises:
        InvalidRequestError: the training split, or a validation split that ``owner`` needs, has no row.
    """
    rows = counts.train + counts.val + counts.test
    if counts.train == 0:
        message = f"leaves no training row of {rows}; send more rows or a larger fraction"
        raise InvalidRequestError.of("split_fractions.train", message)
    if needs_valset and counts.val == 0:
        message = f"leaves no validation row of {rows}, and {owner} needs one; send more rows or a larger fraction"
        raise InvalidRequestError.of("split_fractions.val", message)


def _sides(flat: Mapping[str, str], signature: SignatureFacts) -> ColumnMapping:
    for field in flat:
        if field not in signature.inputs and field not in signature.outputs:
            raise UnsupportedRequestError(
                f"{_MAPPING}.{field}: {_unknown_field(field, signature)}", field=f"{_MAPPING}.{field}"
            )
    return ColumnMapping(
        inputs={field: column for field, column in flat.items() if field in signature.inputs},
        outputs={field: column for field, column in flat.items() if field in signature.outputs},
    )


def _check_columns_are_distinct(mapping: ColumnMapping) -> None:
    seen: dict[str, str] = {}
    for side, mapped in (("inputs", mapping.inputs), ("outputs", mapping.outputs)):
        for field, column in mapped.items():
            path = f"{_MAPPING}.{side}.{field}"
            if column in seen:
                message = f"column {column!r} already feeds {seen[column]}; a column can feed one field only"
                raise InvalidRequestError.of(path, message)
            seen[column] = path


def _check_side(side: str, mapped: Mapping[str, str], declared: Sequence[str], signature: SignatureFacts) -> None:
    for field in mapped:
        if field not in declared:
            raise UnsupportedRequestError.of(f"{_MAPPING}.{side}.{field}", _unknown_field(field, signature))
    for field in declared:
        if field not in mapped:
            message = f"{_MAPPING}.{side} misses {field!r}, which {signature.name} declares; map it to a column"
            raise UnsupportedRequestError(message, field=f"{_MAPPING}.{side}.{field}")


def _unknown_field(field: str, signature: SignatureFacts) -> str:
    for side, names in (("an output", signature.outputs), ("an input", signature.inputs)):
        if field in names:
            return f"{field!r} is {side} of {signature.name}; move it to the other side"
    known = f"inputs {', '.join(signature.inputs)}; outputs {', '.join(signature.outputs)}"
    return f"{signature.name} has no field {field!r}; it has {known}"
