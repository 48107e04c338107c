/// How the program ends. The numbers are a promise: scripts branch on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(pub u8);

impl Exit {
    /// It worked.
    pub const OK: Self = Self(0);
    /// It worked, and what was found is not as it should be: a record that is not there, a line that is no
    /// record, an index that does not fit.
    pub const FINDINGS: Self = Self(1);
    /// The command line, or what it names, is wrong; the log or the index cannot be read.
    pub const USAGE: Self = Self(2);
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}
