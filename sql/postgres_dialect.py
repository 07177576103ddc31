"""What a client asks of PostgreSQL's catalogs, in DuckDB's SQL.

sqlglot reads PostgreSQL's text and writes DuckDB's; what is done here is what only the catalogs need: their schemas and
functions, and casts to the types that name objects (regclass and the like).
"""

from __future__ import annotations

import re
from collections.abc import Callable

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from sql.errors import QueryError

_SCHEMAS = {"pg_catalog": "catalog", "information_schema": "information"}

_SESSION_FUNCTIONS = frozenset(
    {
        "current_schema",
        "current_schemas",
        "current_setting",
        "current_database",
        "current_catalog",
        "current_user",
        "session_user",
        "col_description",
        "format_type",
        "inet_client_addr",
        "inet_server_addr",
        "inet_server_port",
        "obj_description",
        "quote_ident",
        "row_security_active",
        "set_config",
        "shobj_description",
        "to_regclass",
        "user",
        "version",
    }
)
"""Functions on the catalogs and the session that do not tell so by their name."""

_MAYBE = re.compile(
    r"\bpg_|\breg(?:class|type|namespace|proc)\b|\binformation_schema\b|\bhas_\w+_privilege\b|\b(?:"
    + "|".join(_SESSION_FUNCTIONS)
    + r")\b",
    re.IGNORECASE,
)

_OWN_NAMES = {
    # The guard of queries refuses these names, which in DuckDB tell of the process.
    "pg_settings": "told_settings",
    "current_setting": "told_setting",
    # A macro has no arguments of any number.
    "json_build_object": "json_object",
}
"""What sql/postgres calls by another name than PostgreSQL."""

_TEXT_TYPES = frozenset({"text", "name", "char", "cstring", "regproc", "regprocedure", "regoper", "regconfig"})
_OTHER_TYPES = {
    **dict.fromkeys(("oid", "xid"), "UINTEGER"),
    **dict.fromkeys(("int8", "int2vector", "oidvector"), "BIGINT"),
    "bool": "BOOLEAN",
    "float4": "REAL",
    "float8": "DOUBLE",
    "int2": "SMALLINT",
    "int4": "INTEGER",
    "timestamptz": "TIMESTAMPTZ",
    "varchar": "VARCHAR",
}


_ARRAY_CAST = re.compile(r"::\s*(?:pg_catalog\.)?\"?(oid|int2|int4|int8|name|char|text|regclass)\"?\[\]", re.IGNORECASE)
_KEYWORD_NAME = re.compile(r"\bas\s+(select|insert|update|delete|table|schema)\b(?=\s*,|\s+from\b)", re.IGNORECASE)


def read_catalog_query(query: str) -> exp.Query | None:
    """A query, if it asks for nothing but PostgreSQL's catalogs and session; None for one on the store's own tables.

    Args:
        query: one statement.
    """
    if not _MAYBE.search(query):
        return None
    try:
        parsed = sqlglot.parse_one(_readable(query), read="postgres")
    except (SqlglotError, RecursionError):
        return None
    if not isinstance(parsed, exp.Query):
        return None
    own = {cte.alias for cte in parsed.find_all(exp.CTE)}
    tables = [table for table in parsed.find_all(exp.Table) if isinstance(table.this, exp.Identifier)]
    named = [table for table in tables if table.name not in own]
    if named:
        return parsed if all(_is_catalog(table) for table in named) else None
    return parsed if any(_is_session_call(node) for node in parsed.walk()) else None


def in_duckdb(parsed: exp.Query) -> str:
    """A query on the catalogs as DuckDB's SQL, over the schemas and functions of sql/postgres.

    Raises:
        QueryError: it has a part that DuckDB's SQL has nothing for.
    """
    named = parsed.copy()
    for projection in named.selects:
        if isinstance(projection, exp.Column | exp.Alias | exp.Star) and _called(projection) is None:
            continue
        projection.replace(exp.alias_(projection.copy(), _label(projection), quoted=True))
    try:
        return named.transform(_translated).sql("duckdb")
    except (SqlglotError, RecursionError) as error:
        raise QueryError(f"This query on PostgreSQL's catalogs is not understood: {error}") from error


def from_postgres(query: str) -> str | None:
    """A query in PostgreSQL's SQL as DuckDB's; None if it is not understood, or says the same in both."""
    try:
        parsed = sqlglot.parse_one(query, read="postgres")
        text = parsed.copy().transform(_without_zone).sql("duckdb")
    except (SqlglotError, RecursionError):
        return None
    return None if text == parsed.sql("postgres") else text


def _without_zone(node: exp.Expr) -> exp.Expr:
    """A time with a zone as one without, in UTC, as the store's are: DuckDB compares no others with these."""
    zoned = isinstance(node, exp.Cast) and node.to.is_type(exp.DataType.Type.TIMESTAMPTZ)
    if not (zoned or isinstance(node, exp.CurrentTimestamp)) or _is_cast_to_timestamp(node.parent):
        return node
    return exp.cast(node.copy(), exp.DataType.Type.TIMESTAMP)


def _is_cast_to_timestamp(node: exp.Expr | None) -> bool:
    return isinstance(node, exp.Cast) and node.to.is_type(exp.DataType.Type.TIMESTAMP)


def _readable(query: str) -> str:
    """A query without what sqlglot does not read: arrays of the catalogs' types, keywords as names of columns."""
    arrays = _ARRAY_CAST.sub(lambda found: f"::{_OTHER_TYPES.get(found[1].lower(), 'text')}[]", query)
    return _KEYWORD_NAME.sub(r'as "\1"', arrays)


def _label(projection: exp.Expr) -> str:
    """What PostgreSQL names a column without an alias: after its function or, in a cast, what is cast."""
    while isinstance(projection, exp.Cast | exp.Paren):
        projection = projection.this
    if isinstance(projection, exp.Dot):
        projection = projection.expression
    if isinstance(projection, exp.Case):
        return "case"
    if isinstance(projection, exp.Column | exp.Identifier):
        return str(projection.name)
    return _called(projection) or "?column?"


def _is_catalog(table: exp.Table) -> bool:
    return table.db.lower() in _SCHEMAS or (not table.db and table.name.lower().startswith("pg_"))


def _is_session_call(node: exp.Expr) -> bool:
    if isinstance(node, exp.Cast) and _type_name(node).startswith("reg"):
        return True
    name = _called(node)
    return name is not None and (name in _SESSION_FUNCTIONS or name.startswith(("pg_", "has_")))


def _called(node: exp.Expr) -> str | None:
    """The name of the function that a node calls, in lower case; None for another node."""
    if isinstance(node, exp.Anonymous):
        return str(node.name).lower()
    if isinstance(node, exp.CurrentVersion):
        return "version"
    if isinstance(node, exp.Func):
        return node.sql_name().lower()
    if isinstance(node, exp.Column) and not node.table and not node.this.quoted and node.name.lower() == "user":
        return "user"
    return None


def _translated(node: exp.Expr) -> exp.Expr:
    for kind, translate in _TRANSLATIONS.items():
        if isinstance(node, kind):
            return translate(node)
    return node


def _table(node: exp.Table) -> exp.Expr:
    if isinstance(node.this, exp.Func):
        return _function_table(node)
    if not isinstance(node.this, exp.Identifier) or not _is_catalog(node):
        return node
    moved: exp.Expr = node.copy()
    moved.set("this", exp.to_identifier(_OWN_NAMES.get(node.name.lower(), node.name.lower())))
    moved.set("db", exp.to_identifier(_SCHEMAS[node.db.lower() or "pg_catalog"]))
    moved.set("catalog", None)
    if not node.alias and node.name.lower() not in _OWN_NAMES:
        moved = exp.alias_(moved, node.name.lower(), table=True)
    return moved


def _function_table(node: exp.Table) -> exp.Expr:
    """A function in FROM; PostgreSQL calls its column by the alias, unless that names its columns."""
    function, alias = node.this, node.args.get("alias")
    called = function.transform(_translated)
    if alias is None:
        return exp.Table(this=called)
    if isinstance(function, exp.GenerateSeries | exp.Unnest) or alias.columns:
        columns = alias.columns or [exp.to_identifier(node.alias)]
        named = exp.TableAlias(this=exp.to_identifier(node.alias), columns=[column.copy() for column in columns])
        return exp.Table(this=called, alias=named)
    return exp.select(exp.alias_(called, node.alias)).subquery(node.alias)


def _dot(node: exp.Dot) -> exp.Expr:
    """A function by its schema; the functions here have none."""
    if isinstance(node.this, exp.Identifier) and node.name.lower() and isinstance(node.expression, exp.Func):
        return node.expression.transform(_translated)
    return node


def _operator(node: exp.Operator) -> exp.Expr:
    """An operator by its schema: ``OPERATOR(pg_catalog.~)``, which psql writes."""
    symbol = str(node.args["operator"]).rpartition(".")[2]
    kinds: dict[str, type[exp.Binary]] = {"~": exp.RegexpLike, "=": exp.EQ, "<>": exp.NEQ}
    if symbol not in kinds:
        raise QueryError(f"The operator {symbol} is not known to the catalogs here.")
    return kinds[symbol](this=node.this, expression=node.expression).transform(_translated)


def _collate(node: exp.Collate) -> exp.Expr:
    """There is one collation."""
    given: exp.Expr = node.this.transform(_translated)
    return given


def _type_name(node: exp.Cast) -> str:
    return node.to.sql("postgres").rpartition(".")[2].strip('"').lower()


def _cast(node: exp.Cast) -> exp.Expr:
    name = _type_name(node)
    given = node.this
    members = _written_array(given)
    if members and name.endswith("[]"):
        return exp.cast(members, node.to)
    text = isinstance(given, exp.Parameter | exp.Placeholder) or (isinstance(given, exp.Literal) and given.is_string)
    if name == "oid" and isinstance(given, exp.Cast) and _type_name(given) == "regclass":
        return _call("relation_of", given.this)
    if name == "regclass":
        return _call("named_relation" if text else "name_of_relation", given)
    if name == "regnamespace":
        return _call("named_schema" if text else "name_of_schema", given)
    if name == "regtype":
        return _call("named_type", given) if text else _call("format_type", given, exp.null())
    if name in _TEXT_TYPES:
        return exp.cast(given.transform(_translated), "VARCHAR")
    if name in _OTHER_TYPES or isinstance(node.to.args.get("kind"), exp.Dot):
        return exp.cast(given.transform(_translated), _OTHER_TYPES.get(name, name))
    return node


def _any(node: exp.Any) -> exp.Expr:
    """``= ANY('{r,v}')``: an array as PostgreSQL writes it."""
    members = _written_array(node.this.unnest())
    return exp.Any(this=exp.paren(members)) if members else node


def _written_array(given: exp.Expr) -> exp.Expr | None:
    """The array that a text like ``{r,v}`` is; None for anything else."""
    if not (isinstance(given, exp.Literal) and given.is_string and given.name.startswith("{")):
        return None
    members = [part.strip('"') for part in given.name.strip("{}").split(",") if part]
    return exp.array(*(exp.Literal.string(member) for member in members), dialect="duckdb")


def _column(node: exp.Column) -> exp.Expr:
    if _called(node) == "user":
        return exp.Literal.string("spanverdict")
    if node.db.lower() in _SCHEMAS:
        # Every table of the catalogs has its own name for an alias.
        return exp.column(node.this.copy(), table=node.args["table"].copy())
    return node


def _function(node: exp.Anonymous) -> exp.Expr:
    renamed = _OWN_NAMES.get(str(node.name).lower())
    if renamed is None:
        return node
    return exp.Anonymous(this=renamed, expressions=[argument.transform(_translated) for argument in node.expressions])


def _division(node: exp.Div) -> exp.Expr:
    """Whole numbers divide to whole numbers."""
    divisor = node.expression
    if isinstance(divisor, exp.Literal) and divisor.is_int:
        return exp.IntDiv(this=node.this.transform(_translated), expression=divisor.copy())
    return node


def _format(node: exp.Format) -> exp.Expr:
    """``format('%I.%s', …)``: DuckDB's printf, which knows no names."""
    kinds = re.findall(r"%(.)", node.this.name)
    arguments = [argument.transform(_translated) for argument in node.expressions]
    named = [
        exp.Anonymous(this="quote_ident", expressions=[one]) if kind == "I" else one
        for kind, one in zip(kinds, arguments, strict=False)
    ]
    return exp.Anonymous(this="printf", expressions=[exp.Literal.string(node.this.name.replace("%I", "%s")), *named])


def _user(_node: exp.Expr) -> exp.Expr:
    return exp.Literal.string("spanverdict")


def _call(name: str, *arguments: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this=name, expressions=[argument.transform(_translated) for argument in arguments])


_TRANSLATIONS: dict[type[exp.Expr], Callable[..., exp.Expr]] = {
    exp.Anonymous: _function,
    exp.Div: _division,
    exp.Format: _format,
    exp.Table: _table,
    exp.Dot: _dot,
    exp.Operator: _operator,
    exp.Collate: _collate,
    exp.Cast: _cast,
    exp.Any: _any,
    exp.Column: _column,
    exp.CurrentUser: _user,
    exp.SessionUser: _user,
    exp.CurrentCatalog: _user,
    exp.CurrentDatabase: _user,
}
