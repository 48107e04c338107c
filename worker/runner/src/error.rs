use stockade_ipc::bounds::TEXT;
use stockade_ipc::{CompileFault, Rejected, Trap};
use stockade_seal::SealError;

/// Why the program ends without serving, or stops serving.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkerError {
    /// The seal, or the connection.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The engine does not start on this machine.
    #[error("the engine does not start: {0}")]
    Engine(wasmtime::Error),
    /// The host sent something that has no place here.
    #[error("the host sent something else than was due")]
    Unexpected,
    /// The artifact does not load, or an import does not link.
    #[error("{}", .0.message)]
    Rejected(Rejected),
}

impl WorkerError {
    pub(crate) fn rejected(fault: CompileFault, message: impl Into<String>) -> Self {
        Self::Rejected(Rejected { fault, message: cut(message.into(), TEXT) })
    }
}

/// Why a host function ends the call instead of answering.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    /// The grants do not cover it, and its interface has no error to say so.
    #[error("denied: {operation}: {why}")]
    Denied {
        /// What was tried.
        operation: &'static str,
        /// Why not.
        why: String,
    },
    /// The guest asked to end.
    #[error("the plugin exited with code {0}")]
    Exit(u8),
    /// The guest asked for more than one call may have.
    #[error("too much at once: {0}")]
    Excess(&'static str),
}

/// A text that fits a bound of the protocol.
pub(crate) fn cut(mut text: String, limit: usize) -> String {
    text.truncate(text.floor_char_boundary(limit));
    text
}

/// Whether an instance was not made because it needs more than it may have. The engine keeps the type of
/// this error to itself as well.
fn over_a_limit(words: &str) -> bool {
    ["resource limit exceeded", "exceeds memory limits", "exceeds table limits"]
        .iter()
        .any(|limit| words.contains(limit))
}

/// What of an instance was one too many, in the engine's words. The engine counts instances, memories and
/// tables itself and asks nobody, so this is where their refusal is seen first.
pub(crate) fn too_many(error: &wasmtime::Error) -> Option<String> {
    let words = error.to_string();
    words.strip_prefix("resource limit exceeded: ").map(ToOwned::to_owned)
}

/// The stable code of what ended a call, and the engine's words.
pub(crate) fn trap(error: &wasmtime::Error) -> Trap {
    use wasmtime::Trap as T;
    let words = format!("{error:#}");
    let code = match (error.downcast_ref::<T>(), error.downcast_ref::<Stop>()) {
        (_, Some(Stop::Denied { .. })) => "denied",
        (_, Some(Stop::Exit(_))) => "exit",
        (_, Some(Stop::Excess(_))) => "excess",
        (Some(trap), _) => match trap {
            T::UnreachableCodeReached => "unreachable",
            T::StackOverflow => "stack-overflow",
            T::MemoryOutOfBounds => "memory-out-of-bounds",
            T::TableOutOfBounds => "table-out-of-bounds",
            T::IndirectCallToNull => "indirect-call-to-null",
            T::BadSignature => "indirect-call-type-mismatch",
            T::IntegerOverflow => "integer-overflow",
            T::IntegerDivisionByZero => "integer-division-by-zero",
            T::BadConversionToInteger => "invalid-conversion-to-integer",
            T::NullReference => "null-reference",
            T::CannotEnterComponent => "cannot-enter",
            T::CannotLeaveComponent => "cannot-leave",
            T::InvalidChar => "invalid-char",
            T::StringOutOfBounds => "string-out-of-bounds",
            T::ListOutOfBounds => "list-out-of-bounds",
            _ => "trap",
        },
        _ if error.is::<wasmtime::component::ResourceTableError>() => "resource",
        // The engine keeps the type of this error to itself.
        _ if words.contains("fuel allocated for hostcalls") || over_a_limit(&words) => "excess",
        _ if words.contains("handle limit exceeded") => "resource",
        // The canonical ABI's checks on what crosses: misaligned pointers, bad discriminants, text that
        // is not UTF-8, handles that are not there, more data than one crossing may carry.
        _ => "abi",
    };
    let message = match error.downcast_ref::<Stop>() {
        Some(stop) => stop.to_string(),
        None => words,
    };
    Trap { code: code.to_owned(), message: cut(message, TEXT) }
}
