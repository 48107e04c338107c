use std::fmt;

use serde::Deserialize;

use crate::Limits;

/// The name of one of the [`Limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// [`Limits::memory_bytes`].
    MemoryBytes,
    /// [`Limits::memory_bytes_max`].
    MemoryBytesMax,
    /// [`Limits::deadline_ms`].
    DeadlineMs,
    /// [`Limits::deadline_ms_max`].
    DeadlineMsMax,
    /// [`Limits::cpu_seconds`].
    CpuSeconds,
    /// [`Limits::open_files`].
    OpenFiles,
    /// [`Limits::log_lines_per_second`].
    LogLinesPerSecond,
    /// [`Limits::written_bytes`].
    WrittenBytes,
    /// [`Limits::written_files`].
    WrittenFiles,
    /// [`Limits::http_requests_per_second`].
    HttpRequestsPerSecond,
    /// [`Limits::http_request_bytes`].
    HttpRequestBytes,
    /// [`Limits::http_response_bytes`].
    HttpResponseBytes,
    /// [`Limits::kv_bytes`].
    KvBytes,
}

impl Limit {
    /// Every one.
    pub const ALL: [Limit; 13] = [
        Self::MemoryBytes,
        Self::MemoryBytesMax,
        Self::DeadlineMs,
        Self::DeadlineMsMax,
        Self::CpuSeconds,
        Self::OpenFiles,
        Self::LogLinesPerSecond,
        Self::WrittenBytes,
        Self::WrittenFiles,
        Self::HttpRequestsPerSecond,
        Self::HttpRequestBytes,
        Self::HttpResponseBytes,
        Self::KvBytes,
    ];

    /// Its one name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MemoryBytes => "memory_bytes",
            Self::MemoryBytesMax => "memory_bytes_max",
            Self::DeadlineMs => "deadline_ms",
            Self::DeadlineMsMax => "deadline_ms_max",
            Self::CpuSeconds => "cpu_seconds",
            Self::OpenFiles => "open_files",
            Self::LogLinesPerSecond => "log_lines_per_second",
            Self::WrittenBytes => "written_bytes",
            Self::WrittenFiles => "written_files",
            Self::HttpRequestsPerSecond => "http_requests_per_second",
            Self::HttpRequestBytes => "http_request_bytes",
            Self::HttpResponseBytes => "http_response_bytes",
            Self::KvBytes => "kv_bytes",
        }
    }

    /// How much it is.
    pub fn of(self, limits: &Limits) -> u64 {
        match self {
            Self::MemoryBytes => limits.memory_bytes,
            Self::MemoryBytesMax => limits.memory_bytes_max,
            Self::DeadlineMs => limits.deadline_ms,
            Self::DeadlineMsMax => limits.deadline_ms_max,
            Self::CpuSeconds => limits.cpu_seconds,
            Self::OpenFiles => limits.open_files,
            Self::LogLinesPerSecond => limits.log_lines_per_second.into(),
            Self::WrittenBytes => limits.written_bytes,
            Self::WrittenFiles => limits.written_files.into(),
            Self::HttpRequestsPerSecond => limits.http_requests_per_second.into(),
            Self::HttpRequestBytes => limits.http_request_bytes,
            Self::HttpResponseBytes => limits.http_response_bytes,
            Self::KvBytes => limits.kv_bytes,
        }
    }

    /// Sets it; more than it can be is as much as it can be.
    pub fn set(self, limits: &mut Limits, amount: u64) {
        let narrow = u32::try_from(amount).unwrap_or(u32::MAX);
        match self {
            Self::MemoryBytes => limits.memory_bytes = amount,
            Self::MemoryBytesMax => limits.memory_bytes_max = amount,
            Self::DeadlineMs => limits.deadline_ms = amount,
            Self::DeadlineMsMax => limits.deadline_ms_max = amount,
            Self::CpuSeconds => limits.cpu_seconds = amount,
            Self::OpenFiles => limits.open_files = amount,
            Self::LogLinesPerSecond => limits.log_lines_per_second = narrow,
            Self::WrittenBytes => limits.written_bytes = amount,
            Self::WrittenFiles => limits.written_files = narrow,
            Self::HttpRequestsPerSecond => limits.http_requests_per_second = narrow,
            Self::HttpRequestBytes => limits.http_request_bytes = amount,
            Self::HttpResponseBytes => limits.http_response_bytes = amount,
            Self::KvBytes => limits.kv_bytes = amount,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
