//! The driver's errors as the store's: what may work later, and what never will.

use scylla::deserialize::row::DeserializeRow;
use scylla::errors::DbError;
use scylla::errors::{
    BadQuery, ExecutionError, NewSessionError, PrepareError, RequestAttemptError,
};
use scylla::response::query_result::QueryResult;
use weir_actors::store::StoreError;

/// What the error of a request against `table` means.
pub(crate) fn store_error(table: &str, error: ExecutionError) -> StoreError {
    match error {
        ExecutionError::LastAttemptError(e) => attempt_error(table, e),
        ExecutionError::PrepareError(e) => prepare_error(table, e),
        ExecutionError::RequestTimeout(after) => StoreError::Timeout(format!(
            "{table}: nothing within {} ms (request_timeout_ms)",
            after.as_millis()
        )),
        ExecutionError::BadQuery(BadQuery::ValuesTooLongForKey(len, max)) => {
            StoreError::Invalid(format!(
                "{table}: the key has {len} bytes, Cassandra takes {max}; shorten the job's name"
            ))
        }
        ExecutionError::BadQuery(e) => StoreError::Invalid(format!("{table}: {e}")),
        ExecutionError::EmptyPlan => StoreError::Unavailable(format!(
            "{table}: no node to ask; is local_datacenter the name of a data centre of the cluster?"
        )),
        other => StoreError::Unavailable(format!("{table}: {other}")),
    }
}

/// What the error of preparing a statement means.
pub(crate) fn prepare_error(table: &str, error: PrepareError) -> StoreError {
    match error {
        PrepareError::AllAttemptsFailed { first_attempt } => attempt_error(table, first_attempt),
        PrepareError::PreparedStatementIdsMismatch => {
            StoreError::Invalid(format!("{table}: {error}; do the nodes run one version?"))
        }
        other => StoreError::Unavailable(format!("{table}: {other}")),
    }
}

/// What a session that could not be opened means.
pub(crate) fn session_error(error: &NewSessionError) -> StoreError {
    let text = format!("no session with Cassandra: {error}");
    // The driver wraps a refused login several layers deep, as one of many ways
    // to lose a connection.
    let refused = format!("{error:?}");
    if refused.contains("AuthenticationError") || refused.contains("MissingAuthentication") {
        return StoreError::Invalid(format!("{text}; check user and password"));
    }
    match error {
        NewSessionError::EmptyKnownNodesList | NewSessionError::IllegalConfig(_) => {
            StoreError::Invalid(text)
        }
        _ => StoreError::Unavailable(text),
    }
}

fn attempt_error(table: &str, error: RequestAttemptError) -> StoreError {
    match error {
        RequestAttemptError::DbError(kind, message) => db_error(table, &kind, &message),
        RequestAttemptError::SerializationError(e) => {
            StoreError::Invalid(format!("{table}: {e}; is the schema this program's own?"))
        }
        RequestAttemptError::CqlRequestSerialization(e) => {
            StoreError::Invalid(format!("{table}: {e}"))
        }
        RequestAttemptError::RepreparedIdChanged { .. } => StoreError::Invalid(format!(
            "{table}: the table was altered under a running node; restart it"
        )),
        other => StoreError::Unavailable(format!("{table}: {other}")),
    }
}

fn db_error(table: &str, kind: &DbError, message: &str) -> StoreError {
    match kind {
        DbError::ReadTimeout { .. } | DbError::WriteTimeout { .. } => {
            StoreError::Timeout(format!("{table}: {kind}: {message}"))
        }
        DbError::SyntaxError
        | DbError::Invalid
        | DbError::ConfigError
        | DbError::AlreadyExists { .. }
        | DbError::FunctionFailure { .. }
        | DbError::ProtocolError
        | DbError::AuthenticationError
        | DbError::Unauthorized => {
            StoreError::Invalid(format!("{table}: {message}; {}", remedy(kind, message)))
        }
        // A mutation over the server's limit comes as one of many kinds.
        _ if message.contains("too large") => {
            StoreError::Invalid(format!("{table}: {message}; {}", remedy(kind, message)))
        }
        // Overloaded, unavailable, bootstrapping, a replica's own failure, and
        // whatever a newer server may say: worth another try.
        _ => StoreError::Unavailable(format!("{table}: {kind}: {message}")),
    }
}

fn remedy(kind: &DbError, message: &str) -> &'static str {
    let lower = message.to_lowercase();
    if lower.contains("too large") || lower.contains("exceeds") {
        return "lower write_bytes_max, or raise the server's limit";
    }
    match kind {
        DbError::Unauthorized | DbError::AuthenticationError => {
            "grant the user SELECT and MODIFY on the keyspace"
        }
        DbError::Invalid | DbError::ConfigError
            if lower.contains("table")
                || lower.contains("keyspace")
                || lower.contains("column") =>
        {
            "run `weir schema apply`, and check keyspace and replication"
        }
        _ => "run `weir check`",
    }
}

/// All rows of a result that holds one page.
pub(crate) fn rows<R>(result: QueryResult, table: &str) -> Result<Vec<R>, StoreError>
where
    R: for<'f, 'm> DeserializeRow<'f, 'm>,
{
    let damaged = |e: &dyn std::fmt::Display| StoreError::Damaged(format!("{table}: {e}"));
    let result = result.into_rows_result().map_err(|e| damaged(&e))?;
    let rows = result.rows::<R>().map_err(|e| {
        StoreError::Invalid(format!("{table}: {e}; is the schema this program's own?"))
    })?;
    rows.map(|row| row.map_err(|e| damaged(&e))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: DbError, message: &str) -> StoreError {
        store_error(
            "history_rows",
            ExecutionError::LastAttemptError(RequestAttemptError::DbError(kind, message.into())),
        )
    }

    #[test]
    fn what_may_work_later_is_transient() {
        assert!(of(DbError::Overloaded, "").is_transient());
        assert!(of(DbError::IsBootstrapping, "").is_transient());
        assert!(of(DbError::ServerError, "").is_transient());
        assert!(matches!(
            store_error("t", ExecutionError::RequestTimeout(std::time::Duration::from_secs(1))),
            StoreError::Timeout(_)
        ));
    }

    #[test]
    fn what_never_works_names_the_table_and_what_to_do() {
        for (kind, message, remedy) in [
            (DbError::Invalid, "Batch too large", "write_bytes_max"),
            (DbError::Invalid, "table history_rows does not exist", "schema apply"),
            (DbError::Unauthorized, "User weir has no MODIFY", "grant"),
        ] {
            let error = of(kind, message);
            assert!(!error.is_transient());
            let text = error.to_string();
            assert!(text.contains("history_rows") && text.contains(remedy), "{text}");
        }
    }
}
